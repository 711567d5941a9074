"""What a dead process has left is put in its place on any file system."""

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from libxlpy.journal import Stream
from libxlpy.recovery.left_file import LeftFile


async def test_neither_locks_nor_fsync_of_a_folder_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = tmp_path / "image.partial"
    with partial.open("wb", buffering=0) as file:
        file.write(b"whole")
        stream = Stream.of(file.fileno())
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(fd)

    def flock(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(fcntl, "flock", flock)
    left = LeftFile(stream)
    await left.look(0)
    await left.commit()
    assert (tmp_path / "image").read_bytes() == b"whole"
    assert not partial.exists()
