"""A restore from start to complete, and streams that are not what they should be."""

import errno
import os
import stat
from pathlib import Path

import pytest

from libxlpy_protocol.enums import Image, Mode, StreamType
from libxlpy_protocol.messages import (
    Checkpoint,
    Complete,
    RestoreResults,
    StaticDataDone,
    ToolstackRestore,
)
from libxlpy_protocol.stream.libxl import (
    EmulatorHeader,
    LibxlRecord,
    pack_emulator_header,
    pack_libxl_header,
    pack_libxl_record,
)
from tests.support.helper_driver import FakeHost, Parent
from tests.support.other_user import OTHER

QEMU = pack_emulator_header(EmulatorHeader())
HEADER = pack_libxl_header()
CONTEXT = pack_libxl_record(LibxlRecord.LIBXC_CONTEXT)
XENSTORE = pack_libxl_record(LibxlRecord.EMULATOR_XENSTORE_DATA, QEMU + b"k\0v\0")
END = pack_libxl_record(LibxlRecord.END)
LIBXC = bytes(64)  # what the fake reads


def emulator(state: bytes) -> bytes:
    return pack_libxl_record(LibxlRecord.EMULATOR_CONTEXT, QEMU + state)


@pytest.fixture
def put(stream_fd: int) -> int:
    """The stream fd; what tests write to it is read from the start."""
    return stream_fd


def begun(parent: Parent, fd: int, data: bytes, **fields: object) -> None:
    os.pwrite(fd, data, 0)
    parent.greet()
    values = {"mode": Mode.RESTORE, "domid": 9, "stream_fd": fd, **fields}
    parent.start(**values)  # type: ignore[arg-type]


def test_numbers_go_in_and_results_come_out(host: FakeHost, put: int) -> None:
    host.script("read 64", "static")
    channels = {"store_evtchn": 1, "store_domid": 2}
    console = {"console_evtchn": 3, "console_domid": 4}
    with host.helper([put]) as parent:
        begun(parent, put, LIBXC, **channels, **console)
        assert parent.answer(StaticDataDone, 0) == StaticDataDone(3)
        assert parent.expect(RestoreResults) == RestoreResults(0x11, 0x22)
        assert parent.expect(Complete) == Complete(0, 0, False)
        assert parent.wait() == 0
        assert "restore dom=9 store=1/2 console=3/4" in parent.logs()


CLAIMED = ["claim 9 1000", "claim 9 0"]


def test_memory_is_claimed_before_anything_is_read(host: FakeHost, put: int) -> None:
    """And what is left of that is given back, as after a success there is none."""
    host.domains({9: 32})
    host.script("read 64")
    with host.helper([put]) as parent:
        begun(parent, put, LIBXC, claim_pages=1000)
        parent.expect(RestoreResults)
        assert parent.expect(Complete) == Complete(0, 0, False)
    assert host.calls() == CLAIMED


def test_claim_of_a_restore_that_fails_is_given_back(host: FakeHost, put: int) -> None:
    host.domains({9: 32})
    host.script("fail 5")
    with host.helper([put]) as parent:
        begun(parent, put, LIBXC, claim_pages=1000)
        assert parent.expect(Complete).retval == -1
    assert host.calls() == CLAIMED


def test_too_little_memory_ends_it_before_anything_is_read(
    host: FakeHost, put: int
) -> None:
    """No more is claimed than the domain may have, here 2009 pages."""
    host.domains({9: 32})
    with host.helper([put]) as parent:
        begun(parent, put, LIBXC, claim_pages=1 << 40)
        assert parent.expect(Complete) == Complete(-1, errno.ENOMEM, False)
        (text,) = [each for each in parent.logs() if "memory" in each]
    told = "not enough memory: it needs 4294967296 MiB, and 20479 MiB are free"
    assert text == told
    assert host.calls() == ["claim 9 2009"]
    assert os.lseek(put, 0, os.SEEK_CUR) == 0


def test_hypervisor_that_takes_no_claim_is_no_obstacle(
    host: FakeHost, put: int
) -> None:
    host.domains({9: 32})
    host.script("read 64")
    with host.helper([put]) as parent:
        begun(parent, put, LIBXC, claim_pages=1234)
        parent.expect(RestoreResults)
        assert parent.expect(Complete) == Complete(0, 0, False)
        assert "memory of domain 9 is not claimed: Invalid argument" in parent.logs()


def test_checkpoints_are_asked(host: FakeHost, put: int) -> None:
    host.script("checkpoint")
    with host.helper([put]) as parent:
        begun(parent, put, b"", stream_type=StreamType.REMUS)
        parent.answer(Checkpoint, 2)
        parent.expect(RestoreResults)
        assert "checkpoint=2" in parent.logs()


def test_libxl_image_is_taken_apart(host: FakeHost, put: int, tmp_path: Path) -> None:
    host.script("read 64")
    state = os.urandom(200_001)
    path = tmp_path / "qemu-resume.9"
    path.write_bytes(b"left by an earlier restore" * 20000)
    data = HEADER + CONTEXT + LIBXC + XENSTORE + emulator(state) + END + b"next"
    with host.helper([put]) as parent:
        begun(parent, put, data, image=Image.LIBXL, emulator_path=str(path))
        parent.expect(RestoreResults)
        asked = parent.answer(ToolstackRestore, 0)
        assert asked == ToolstackRestore(9, b"k\0v\0")
        assert parent.expect(Complete) == Complete(0, 0, False)
    assert path.read_bytes() == state
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.read(put, 100) == b"next"  # nothing was read ahead


@pytest.mark.parametrize("whose", ["other name", "other domain's", "other user's"])
def test_file_that_is_not_ours_to_replace_is_left_alone(
    host: FakeHost, put: int, tmp_path: Path, whose: str
) -> None:
    host.script("read 64")
    names = {"other name": "precious", "other domain's": "qemu-resume.8"}
    path = tmp_path / names.get(whose, "qemu-resume.9")
    path.write_bytes(b"precious")
    if whose == "other user's":
        os.chown(path, OTHER, OTHER)
    with host.helper([put]) as parent:
        data = HEADER + CONTEXT + LIBXC + emulator(b"state") + END
        begun(parent, put, data, image=Image.LIBXL, emulator_path=str(path))
        parent.expect(RestoreResults)
        assert parent.expect(Complete) == Complete(-1, errno.EEXIST, False)
    assert path.read_bytes() == b"precious"


def test_failed_toolstack_restore_fails_the_restore(
    host: FakeHost, put: int, tmp_path: Path
) -> None:
    host.script("read 64")
    with host.helper([put]) as parent:
        data = HEADER + CONTEXT + LIBXC + XENSTORE + END
        path = str(tmp_path / "state")
        begun(parent, put, data, image=Image.LIBXL, emulator_path=path)
        parent.expect(RestoreResults)
        parent.answer(ToolstackRestore, -1)
        assert parent.expect(Complete) == Complete(-1, errno.EIO, False)


def test_optional_records_are_left_out(
    host: FakeHost, put: int, tmp_path: Path
) -> None:
    host.script("read 64")
    path = tmp_path / "state"
    optional = b"\x09\0\0\x80" + bytes([1, 0, 0, 0]) + b"x" + bytes(7)
    data = HEADER + CONTEXT + LIBXC + optional + emulator(b"x") + optional + END
    with host.helper([put]) as parent:
        begun(parent, put, data, image=Image.LIBXL, emulator_path=str(path))
        assert parent.serve({}) == Complete(0, 0, False)
    assert path.read_bytes() == b"x"


WRONG = {
    "empty": b"",
    "wrong ident": bytes(16) + CONTEXT + LIBXC + END,
    "no context": HEADER + END,
    "no end": HEADER + CONTEXT + LIBXC,
    "half a record header": HEADER + CONTEXT + LIBXC + END[:5],
    "half a record": HEADER + CONTEXT + LIBXC + XENSTORE[:-9],
    "twice": HEADER + CONTEXT + LIBXC + XENSTORE + XENSTORE + END,
    "out of order": HEADER + CONTEXT + LIBXC + emulator(b"x") + XENSTORE + END,
    "second context": HEADER + CONTEXT + LIBXC + CONTEXT + END,
    "padding of an optional record": HEADER
    + CONTEXT
    + LIBXC
    + b"\x09\0\0\x80\1\0\0\0x\1"
    + bytes(6)
    + END,
    "unknown record": HEADER + CONTEXT + LIBXC + b"\x09" + bytes(7) + END,
    "padding": HEADER + CONTEXT + LIBXC + emulator(b"x")[:-1] + b"\1" + END,
    "unknown emulator": HEADER
    + CONTEXT
    + LIBXC
    + pack_libxl_record(LibxlRecord.EMULATOR_CONTEXT, b"\x09" + bytes(7))
    + END,
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_stream_is_eproto(
    host: FakeHost, put: int, tmp_path: Path, case: str
) -> None:
    host.script("read 64")
    with host.helper([put]) as parent:
        path = str(tmp_path / "state")
        begun(parent, put, WRONG[case], image=Image.LIBXL, emulator_path=path)
        assert parent.serve({ToolstackRestore: 0}) == Complete(-1, errno.EPROTO, False)
        assert parent.wait() == 0


@pytest.mark.parametrize("record", [XENSTORE, emulator(b"x")])
def test_emulator_state_for_a_domain_without_emulator_is_eproto(
    host: FakeHost, put: int, record: bytes
) -> None:
    host.script("read 64")
    with host.helper([put]) as parent:
        data = HEADER + CONTEXT + LIBXC + record + END
        begun(parent, put, data, image=Image.LIBXL)
        assert parent.serve({}) == Complete(-1, errno.EPROTO, False)


def test_failure_of_libxc_has_no_results(host: FakeHost, put: int) -> None:
    host.script(f"fail {errno.EINVAL}")
    with host.helper([put]) as parent:
        begun(parent, put, b"")
        assert parent.expect(Complete) == Complete(-1, errno.EINVAL, False)
        assert not [m for m in parent.seen if isinstance(m, RestoreResults)]
