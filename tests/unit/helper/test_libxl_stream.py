"""The writer and the reader of libxl's records, on real descriptors."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libxlpy_helper import stream as libxl_stream
from libxlpy_helper.abort import AbortedError
from libxlpy_helper.records import Domain, RecordReader
from libxlpy_helper.stream import Stream
from libxlpy_protocol.stream.libxl import (
    LibxlRecord,
    unpack_libxl_header,
    unpack_libxl_record,
)


def never() -> None:
    """No abort."""


class After:
    """An abort that comes at the n-th look."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> None:
        if not self.left:
            raise AbortedError
        self.left -= 1


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "stream", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    yield fd
    os.close(fd)


def write_image(stream: Stream, folder: Path, data: bytes, state: bytes) -> None:
    """Write everything a save writes but libxc's part."""
    path = folder / "qemu-save"
    path.write_bytes(state)
    libxl_stream.write_header(stream)
    libxl_stream.write_xenstore_data(stream, 2, data)
    libxl_stream.write_emulator_context(stream, 2, str(path))
    libxl_stream.write_end(stream)


def read_image(stream: Stream, folder: Path) -> tuple[bytes, bytes]:
    """Read it back: toolstack state and emulator state."""
    got: list[bytes] = []
    path = folder / "qemu-resume"
    libxl_stream.read_header(stream)
    sink = Domain(got.append, str(path), path.name)
    RecordReader(stream, sink).read_to(LibxlRecord.END)
    return b"".join(got), path.read_bytes()


@settings(deadline=None)
@given(data=st.binary(max_size=100), state=st.binary(max_size=300))
def test_what_is_written_is_read_back_and_aligned(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, state: bytes
) -> None:
    folder = tmp_path_factory.mktemp("image")
    with (folder / "image").open("w+b", buffering=0) as image:
        stream = Stream(image.fileno(), never)
        write_image(stream, folder, data, state)
        assert image.tell() % 8 == 0
        image.seek(0)
        assert read_image(stream, folder) == (data, state)


def test_header_and_context_come_first(file: int) -> None:
    libxl_stream.write_header(Stream(file, never))
    written = os.pread(file, 100, 0)
    assert len(written) == 24
    unpack_libxl_header(written[:16])
    assert unpack_libxl_record(written[16:]).type == 1


def test_abort_stops_the_writer_at_every_step(file: int, tmp_path: Path) -> None:
    steps = 0
    while True:
        try:
            write_image(Stream(file, After(steps)), tmp_path, b"k\0v\0", b"s" * 200_000)
        except AbortedError:
            steps += 1
        else:
            break
    assert steps >= 8


def test_abort_stops_the_reader_at_every_step(file: int, tmp_path: Path) -> None:
    write_image(Stream(file, never), tmp_path, b"k\0v\0", b"s" * 200_000)
    steps = 0
    while True:
        os.lseek(file, 0, os.SEEK_SET)
        try:
            read_image(Stream(file, After(steps)), tmp_path)
        except AbortedError:
            steps += 1
        else:
            break
    assert steps >= 12


def test_every_truncation_is_eproto(file: int, tmp_path: Path) -> None:
    write_image(Stream(file, never), tmp_path, b"k\0v\0", b"state")
    size = os.lseek(file, 0, os.SEEK_CUR)
    for length in reversed(range(size)):
        os.ftruncate(file, length)
        os.lseek(file, 0, os.SEEK_SET)
        with pytest.raises(OSError) as caught:
            read_image(Stream(file, never), tmp_path)
        assert caught.value.errno == errno.EPROTO


def test_small_writes_and_reads_add_up(tmp_path: Path) -> None:
    """A pipe takes and gives a part only; nothing is lost or read ahead."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    try:
        with pytest.raises(BlockingIOError):
            Stream(write_fd, never).write(bytes(1 << 20))
        got = Stream(read_fd, never).read(65536)
        assert got == bytes(65536)
        libxl_stream.write_end(Stream(write_fd, never))
        os.write(write_fd, b"next")
        RecordReader(Stream(read_fd, never), None).read_to(LibxlRecord.END)
        assert os.read(read_fd, 10) == b"next"
    finally:
        os.close(read_fd)
        os.close(write_fd)


def test_too_much_toolstack_state_is_not_read(file: int) -> None:
    body = (3 << 20).to_bytes(4, "little")
    os.write(file, b"\x02\0\0\0" + body)
    os.lseek(file, 0, os.SEEK_SET)
    with pytest.raises(OSError, match="EMULATOR_XENSTORE_DATA of 3145728"):
        RecordReader(Stream(file, never), None).read_to(LibxlRecord.END)
