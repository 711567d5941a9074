"""The descriptor of a stream: checked, duplicated, and given back as it was."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from libxlpy import errors
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.streams import Format, StreamRuleBroken
from tests.support.stream_samples import END, PV_RECORDS, libxl_stream, pv_image

LIBXL = libxl_stream(pv_image(*PV_RECORDS), END)


def test_stream_is_duplicated_above_stdio_and_flags_come_back():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = StreamFd(writing, "write")
    assert stream.fd > 2
    assert stream.fd != writing
    assert os.get_blocking(writing)
    assert stream.moved()  # nobody can tell for a pipe
    stream.close()
    stream.close()
    assert not os.get_blocking(writing)
    os.close(reading)
    os.close(writing)


def test_file_that_was_not_touched_is_known_as_such(tmp_path: Path):
    with (tmp_path / "image").open("wb", buffering=0) as file:
        file.write(b"head")
        stream = StreamFd(file.fileno(), "write")
        assert not stream.moved()
        file.write(b"more")
        assert stream.moved()
        stream.close()


@pytest.mark.parametrize(
    ("flags", "access"),
    [(os.O_RDONLY, "write"), (os.O_WRONLY, "read"), (os.O_PATH, "read")],
)
def test_stream_of_the_wrong_kind_is_refused(flags: int, access: str):
    fd = os.open("/dev/null", flags)
    with pytest.raises(errors.UsageError):
        StreamFd(fd, access)  # type: ignore[arg-type]
    os.close(fd)


@pytest.mark.parametrize("fd", [-1, 987654, 1 << 40])
def test_number_that_is_no_descriptor_is_refused(fd: int):
    with pytest.raises(errors.UsageError):
        StreamFd(fd, "write")


def in_the_way(one: tuple[int, str], other: tuple[int, str]) -> bool:
    first, second = (StreamFd(fd, access) for fd, access in (one, other))  # type: ignore[arg-type]
    try:
        assert first.in_the_way_of(second) == second.in_the_way_of(first)
        return first.in_the_way_of(second)
    finally:
        first.close()
        second.close()
        assert not second.in_the_way_of(first)


def test_file_is_read_by_as_many_as_open_it(tmp_path: Path):
    path = tmp_path / "image"
    path.write_bytes(b"image")
    one, other = (os.open(path, os.O_RDWR) for _ in range(2))
    again = os.dup(one)
    assert not in_the_way((one, "read"), (other, "read"))
    assert in_the_way((one, "read"), (again, "read"))  # they have one offset
    assert in_the_way((one, "read"), (other, "write"))
    assert in_the_way((one, "write"), (other, "write"))
    assert fcntl.fcntl(one, fcntl.F_GETSIG) == 0
    for fd in (one, other, again):
        os.close(fd)


def test_pipe_has_one_reader_and_one_writer(tmp_path: Path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    again = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(path, os.O_WRONLY)
    assert in_the_way((reading, "read"), (again, "read"))
    assert in_the_way((writing, "write"), (writing, "write"))
    assert not in_the_way((reading, "read"), (writing, "write"))
    for fd in (reading, again, writing):
        os.close(fd)


def test_null_device_is_used_by_all():
    fd = os.open("/dev/null", os.O_RDWR)
    assert not in_the_way((fd, "write"), (fd, "write"))
    os.close(fd)


def test_what_is_appended_is_known_as_moved(tmp_path: Path):
    path = tmp_path / "image"
    path.write_bytes(b"before")
    with path.open("ab", buffering=0) as file:
        stream = StreamFd(file.fileno(), "write")
        assert not stream.moved()
        file.write(b"more")
        assert stream.moved()
        stream.close()


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b"])
def test_one_whole_stream_is_looked_for_where_it_was_written(tmp_path: Path, mode: str):
    """What the file held before is not taken for it."""
    path, whole = tmp_path / "image", LIBXL
    path.write_bytes(whole + whole)
    with path.open(mode, buffering=0) as file:
        stream = StreamFd(file.fileno(), "write")
        with pytest.raises(StreamRuleBroken):
            stream.check_whole(Format.LIBXL)
        file.write(whole[:-8])
        with pytest.raises(StreamRuleBroken):
            stream.check_whole(Format.LIBXL)
        file.write(whole[-8:])
        at = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        stream.check_whole(Format.LIBXL)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == at
        file.write(b"more")
        with pytest.raises(StreamRuleBroken, match="bytes were written"):
            stream.check_whole(Format.LIBXL)
        stream.close()


def test_what_is_to_be_read_is_looked_through_and_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also where the file may not be opened once more."""
    path = tmp_path / "image"
    for reopens in (True, False):
        for missing in range(len(END) + 1):
            path.write_bytes(b"head" + LIBXL[: len(LIBXL) - missing])
            with path.open("rb", buffering=0) as file:
                file.seek(4)
                stream = StreamFd(file.fileno(), "read")
                assert stream.path() == str(path)
                with monkeypatch.context() as patch:
                    if not reopens:
                        patch.setattr(os, "open", refused)
                    if missing:
                        with pytest.raises(StreamRuleBroken, match="the stream ends"):
                            stream.check_input(Format.LIBXL)
                    else:
                        stream.check_input(Format.LIBXL)
                assert file.tell() == 4
                stream.close()


def refused(*_: object) -> int:
    raise PermissionError(errno.EACCES, "it is another user's")


def test_what_can_not_be_read_twice_is_not_looked_through():
    reading, writing = os.pipe()
    stream = StreamFd(reading, "read")
    stream.check_input(Format.LIBXL)
    stream.close()
    for fd in (reading, writing):
        os.close(fd)
