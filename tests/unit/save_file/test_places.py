"""A place that lacks something serves all the same; one that can't serve is refused."""

import contextlib
import errno
import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libxlpy.save_file import SaveFile, SaveFileError
from tests.unit.save_file.writing import HEAD, failing, is_directory, written


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES])
def test_a_folder_without_fsync_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(os, "fsync", failing("fsync", is_directory, error))
    written(tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == b"head body"


def without_locks(error: int) -> Callable[[int, int], None]:
    def flock(_fd: int, _operation: int) -> None:
        raise OSError(error, os.strerror(error))

    return flock


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_only_what_is_there_already_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", without_locks(error))
    path = tmp_path / "image"
    with SaveFile(path, HEAD) as file:
        with pytest.raises(SaveFileError, match=r"remove it if no save runs"):
            SaveFile(path, b"thief")
        file.commit()
    assert path.read_bytes() == HEAD
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", without_locks(errno.EIO))
    with pytest.raises(SaveFileError, match="Input/output error"):
        SaveFile(tmp_path / "image", HEAD)
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def changed(path: Path, flag: str) -> Iterator[None]:
    """Have a flag of chattr set meanwhile."""
    subprocess.run(["chattr", f"+{flag}", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", f"-{flag}", path], check=True)


@contextlib.contextmanager
def bound(path: Path) -> Iterator[None]:
    """Have a file mounted over itself meanwhile."""
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("flag", "ai")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_can_not_be_replaced_is_refused_at_once(
    tmp_path: Path, what: str, flag: str
) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"old")
    with changed(tmp_path if what == "folder" else path, flag):
        with pytest.raises(SaveFileError, match=f"be replaced.*; chattr -{flag} it"):
            SaveFile(path, HEAD)
        assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_a_new_file_in_a_folder_that_only_appends_is_refused_at_once(
    tmp_path: Path,
) -> None:
    with changed(tmp_path, "a"):
        with pytest.raises(SaveFileError, match="chattr -a it"):
            SaveFile(tmp_path / "image", HEAD)
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_mounted_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"old")
    with bound(path):
        with pytest.raises(SaveFileError, match="something is mounted there; unmount"):
            SaveFile(path, HEAD)
        assert list(tmp_path.iterdir()) == [path]
        assert path.read_bytes() == b"old"


def test_a_folder_that_nothing_leaves_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "unlink", failing("unlink", is_directory, errno.EACCES))
    with pytest.raises(SaveFileError, match="Permission denied; choose another dir"):
        SaveFile(tmp_path / "image", HEAD)
    assert (tmp_path / "image.partial").read_bytes() == b""
