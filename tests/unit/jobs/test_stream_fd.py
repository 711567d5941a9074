"""The descriptor of a stream: checked, duplicated, and given back as it was."""

import os
from pathlib import Path

import pytest

from libxlpy import errors
from libxlpy.jobs.stream_fd import StreamFd


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
