"""The vcpu page as Python has it is the one that C has."""

import fcntl
import os

import pytest

from libxlpy.simxen.library import simxen_library
from libxlpy.simxen.vcpu import FIELDS, VcpuPage, file_size


@pytest.mark.parametrize("field", FIELDS)
def test_offset_is_that_of_the_c_struct(field):
    assert FIELDS[field][0] == simxen_library().offset(field)


def test_unknown_field_has_no_offset():
    assert simxen_library().offset("colour") == -1


@pytest.mark.parametrize(("nr_pages", "size"), [(1, 3), (32768, 3), (32769, 5)])
def test_file_has_the_page_and_two_bitmaps(nr_pages, size):
    assert file_size(nr_pages) == size * 4096


def test_fields_are_shared_sealed_and_given_back():
    vcpu = VcpuPage("test", 1024)
    vcpu["arch.rate"] = 2**64 - 1
    assert vcpu["arch.rate"] == 2**64 - 1
    assert os.pread(vcpu.fd, 8, 168) == b"\xff" * 8
    assert os.pread(vcpu.fd, 8, 0) == b"SIMVCPU1"
    assert vcpu.address % 4096 == 0
    assert fcntl.fcntl(vcpu.fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    with pytest.raises(PermissionError):
        os.ftruncate(vcpu.fd, 0)
    vcpu.close()


def test_memory_takes_room_only_where_written():
    vcpu = VcpuPage("test", 1 << 20)
    assert vcpu.resident <= 8192
    vcpu.close()
