"""A file that is open already is written where it is, by its link in /proc."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libxlpy.save_file import SaveFile, SaveFileError
from tests.unit.save_file.writing import HEAD, written


def unlinked(tmp_path: Path) -> int:
    path = tmp_path / "unlinked"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    path.unlink()
    return fd


KINDS: dict[str, Callable[[Path], int]] = {
    "appended": lambda path: os.open(
        path / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND
    ),
    "unlinked": unlinked,
    "memfd": lambda _: os.memfd_create("image"),
    "no name": lambda path: os.open(path, os.O_RDWR | os.O_TMPFILE),
}


@contextlib.contextmanager
def given(fd: int) -> Iterator[int]:
    """Have it as whoever starts a program gives it; closed at the end."""
    os.set_inheritable(fd, True)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize("link", ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_open_file_is_written_where_it_is(
    tmp_path: Path, kind: str, link: str
) -> None:
    with given(KINDS[kind](tmp_path)) as fd:
        os.write(fd, b"before ")
        there = list(tmp_path.iterdir())
        alias = tmp_path.parent / f"{tmp_path.name}-link"
        alias.symlink_to(f"{link}/{fd}")
        written(alias)
        alias.unlink()
        assert os.pread(fd, 100, 0) == b"before head body"
        os.write(fd, b" after")
        assert os.pread(fd, 100, 0).endswith(b"body after")
        assert list(tmp_path.iterdir()) == there


async def test_an_open_file_is_one_of_any_thread(tmp_path: Path) -> None:
    """As `xlpy save` opens it: beside the loop, in a thread with its own number."""
    with given(KINDS["no name"](tmp_path)) as fd:
        path = f"/proc/thread-self/fd/{fd}"
        async with await SaveFile.when_free(path, HEAD) as file:
            await file.put_in_place()
        assert os.pread(fd, 100, 0) == HEAD


def test_an_open_file_that_goes_on_is_refused(tmp_path: Path) -> None:
    """As by `1<> old`: what the image does not cover would stand behind its END."""
    path = tmp_path / "image"
    path.write_bytes(b"an old image")
    with given(os.open(path, os.O_RDWR)) as fd:
        os.lseek(fd, 3, os.SEEK_SET)
        with pytest.raises(SaveFileError, match=r"9 bytes of it .* append \(>>\)"):
            SaveFile(f"/dev/fd/{fd}", HEAD)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 3
    assert path.read_bytes() == b"an old image"


def test_an_open_file_that_is_not_for_us_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"old")
    ours = os.open(path, os.O_RDWR)
    with given(os.open(path, os.O_RDONLY)) as reading:
        for fd, reason in ((ours, "not given"), (reading, "not open for writing")):
            with pytest.raises(SaveFileError, match=f"descriptor {fd} .*{reason}"):
                SaveFile(f"/dev/fd/{fd}", HEAD)
    os.close(ours)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_process_has_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with (
        path.open("wb") as file,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as cat,
    ):
        with pytest.raises(SaveFileError, match="name the file itself"):
            SaveFile(f"/proc/{cat.pid}/fd/1", HEAD)
        cat.kill()
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_of_proc_is_followed_as_the_kernel_does(tmp_path: Path) -> None:
    with given(os.open(tmp_path, os.O_RDONLY)) as fd:
        written(Path(f"/proc/self/fd/{fd}/image"))
    assert (tmp_path / "image").read_bytes() == b"head body"


def test_a_pipe_that_does_not_block_is_given_back_as_it_was() -> None:
    reading, writing = os.pipe()
    with given(writing) as fd:
        os.set_blocking(fd, False)
        with SaveFile(f"/dev/fd/{fd}", HEAD) as file:
            assert os.get_blocking(file.fd)
            file.commit()
        assert not os.get_blocking(fd)
    assert os.read(reading, 100) == HEAD
    os.close(reading)
