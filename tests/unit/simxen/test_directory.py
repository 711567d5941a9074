"""The directory of a host without the host."""

import os

import pytest

from libxlpy.simxen.directory import (
    HostDirectory,
    default_directory,
    recorded,
    recorded_host,
)
from libxlpy.simxen.errors import SimxenError


def test_names_are_side_by_side():
    assert default_directory().name == "default"
    assert default_directory("two") == default_directory().parent / "two"


def test_acquired_and_released_leaves_nothing(tmp_path):
    directory = HostDirectory(tmp_path / "a" / "b")
    directory.acquire()
    directory.record([os.getpid(), 2**22 + 1])
    record = recorded(directory.path)
    assert record["pid"] == os.getpid()
    assert [guest["pid"] for guest in record["guests"]] == [os.getpid()]
    directory.record([])
    directory.release()
    assert not directory.path.exists()


def test_locked_directory_is_refused_until_released(tmp_path):
    first, second = HostDirectory(tmp_path / "d"), HostDirectory(tmp_path / "d")
    first.acquire()
    with pytest.raises(SimxenError, match="already runs"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "\xff",
        '{"pid": 1}',
        '{"pid": -1, "start_time": 1}',
        '{"pid": true, "start_time": 1, "guests": 3}',
        '{"guests": [3, {"pid": 1}, {"pid": 0, "start_time": 0}]}',
    ],
)
def test_damaged_record_is_no_record(tmp_path, text):
    (tmp_path / "host.json").write_bytes(text.encode("latin-1"))
    assert recorded_host(tmp_path) is None
    directory = HostDirectory(tmp_path)
    directory.acquire()
    directory.release()


def test_directory_that_is_a_link_or_open_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(SimxenError, match="not a directory"):
        HostDirectory(tmp_path / "link").acquire()
    (tmp_path / "real").chmod(0o770)
    with pytest.raises(SimxenError, match="open to others"):
        HostDirectory(tmp_path / "real").acquire()
