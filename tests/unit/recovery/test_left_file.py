"""What a dead process has left is put in its place on any file system."""

import errno
import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from libxlpy.deadlines import DEFAULT_DEADLINES, Deadlines
from libxlpy.journal import Stream
from libxlpy.recovery.left_file import LeftFile


def left_in(folder: Path) -> tuple[Path, Stream]:
    """Write a partial file; give it, and what the journal says of it."""
    partial = folder / "image.partial"
    with partial.open("wb", buffering=0) as file:
        file.write(b"whole")
        return partial, Stream.of(file.fileno())


async def test_neither_locks_nor_fsync_of_a_folder_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, stream = left_in(tmp_path)
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(fd)

    def flock(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(fcntl, "flock", flock)
    left = LeftFile(stream, DEFAULT_DEADLINES)
    await left.look(0)
    await left.commit()
    assert (tmp_path / "image").read_bytes() == b"whole"
    assert not partial.exists()


async def test_a_lock_is_taken_on_what_is_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS refuses an exclusive one on what is open for reading only."""
    partial, stream = left_in(tmp_path)

    def flock(fd: int, _operation: int) -> None:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(fcntl, "flock", flock)
    left = LeftFile(stream, DEFAULT_DEADLINES)
    await left.look(0)
    await left.remove()
    assert not partial.exists()


async def test_a_disk_that_does_not_answer_is_waited_for_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stream = left_in(tmp_path)
    answer = threading.Event()
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        answer.wait()
        return real(path)

    monkeypatch.setattr(Path, "lstat", lstat)
    left = LeftFile(stream, Deadlines(repair=0.05))
    try:
        with pytest.raises(TimeoutError):
            await left.look(0)
    finally:
        answer.set()
