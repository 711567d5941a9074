"""What a dead process has left is put in its place on any file system."""

import errno
import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from libxlpy.deadlines import DEFAULT_DEADLINES, Deadlines
from libxlpy.folders import NotOursAlone
from libxlpy.journal import Stream
from libxlpy.recovery.left_file import LeftFile
from tests.support.other_user import OTHER


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
    real = os.open

    def opening(*arguments: object, **named: object) -> int:
        answer.wait()
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", opening)
    left = LeftFile(stream, Deadlines(repair=0.05))
    try:
        with pytest.raises(TimeoutError):
            await left.look(0)
    finally:
        answer.set()


async def test_a_folder_that_another_user_has_made_a_link_is_not_followed(
    tmp_path: Path,
) -> None:
    """Half a file elsewhere, which happens to be this one, is not what was named."""
    home, moved = tmp_path / "home", tmp_path / "moved"
    (home / "saves").mkdir(parents=True)
    os.chown(home, OTHER, OTHER)
    _, stream = left_in(home / "saves")
    left = LeftFile(stream, DEFAULT_DEADLINES)
    await left.look(0)
    (home / "saves").rename(moved)
    (home / "saves").symlink_to(moved)
    os.chown(home / "saves", OTHER, OTHER, follow_symlinks=False)
    for act in (left.remove, left.commit, lambda: left.look(0)):
        with pytest.raises(NotOursAlone, match="home/saves is a link"):
            await act()
    assert [path.name for path in moved.iterdir()] == ["image.partial"]


async def test_what_is_exchanged_at_the_last_moment_is_not_told_as_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, stream = left_in(tmp_path)
    left, real = LeftFile(stream, DEFAULT_DEADLINES), os.rename
    await left.look(0)

    def rename(*arguments: object, **named: object) -> None:
        real(partial, tmp_path / "kept")
        partial.write_bytes(b"made up")
        real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(FileNotFoundError, match="image is another file now"):
        await left.commit()
