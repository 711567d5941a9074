"""A save file's name never holds half a domain, whatever ends the writing."""

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libxlpy.save_file import SaveFile, SaveFileError

HEAD = b"head"


def written(path: Path, body: bytes = b" body") -> None:
    with SaveFile(path, HEAD) as file:
        os.write(file.fd, body)
        file.commit()


def test_a_committed_file_holds_head_and_stream(tmp_path: Path) -> None:
    path = tmp_path / "image"
    written(path)
    assert path.read_bytes() == b"head body"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("end", ["/", "/.", "//"])
def test_what_names_a_folder_becomes_no_file(tmp_path: Path, end: str) -> None:
    with pytest.raises(SaveFileError, match=r"image.* it names a folder"):
        SaveFile(f"{tmp_path}/image{end}", HEAD)
    assert list(tmp_path.iterdir()) == []


def test_until_commit_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"old")
    with SaveFile(path, HEAD) as file:
        os.write(file.fd, b" new")
        assert path.read_bytes() == b"old"
        assert file.partial == tmp_path / "image.partial"
        assert file.partial.read_bytes() == b"head new"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_removes_the_partial_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), SaveFile(tmp_path / "image", HEAD):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_partial_file_of_a_dead_writer_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "image.partial").write_bytes(b"left by a dead writer, and long")
    written(tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == b"head body"
    assert not (tmp_path / "image.partial").exists()


def test_the_partial_file_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with SaveFile(path, HEAD) as file:
        with pytest.raises(SaveFileError, match="another process is writing"):
            SaveFile(path, b"thief")
        file.commit()
    assert path.read_bytes() == HEAD


async def test_a_writer_that_is_leaving_is_waited_for(tmp_path: Path) -> None:
    path, kept = tmp_path / "image", tmp_path / "kept"
    file = SaveFile(path, b"killed")
    assert file.partial is not None
    kept.hardlink_to(file.partial)
    # A helper that has the file, too, outlives its parent, which was killed.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[file.fd]) as helper:
        file.close()
        kept.rename(tmp_path / "image.partial")
        waiting = asyncio.create_task(SaveFile.when_free(path, HEAD, 60))
        await asyncio.sleep(0)
        assert not waiting.done()
        helper.kill()
        with await waiting as ours:
            ours.commit()
    assert path.read_bytes() == HEAD
    assert list(tmp_path.iterdir()) == [path]


async def test_a_writer_that_stays_is_not_waited_for_long(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with SaveFile(path, HEAD) as file:
        with pytest.raises(SaveFileError, match="another process is writing"):
            await SaveFile.when_free(path, b"thief", 0.1)
        file.commit()
    assert path.read_bytes() == HEAD


def test_the_lock_is_shared_with_who_inherits_the_descriptor(tmp_path: Path) -> None:
    file = SaveFile(tmp_path / "image", HEAD)
    inherited = os.dup(file.fd)
    partial = file.partial
    assert partial is not None
    file.close()
    partial.write_bytes(b"")  # the writer died, its helper still lives: another inode
    with partial.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(inherited)
    partial.unlink()


def test_many_writers_of_one_name_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "image"
    refused: list[str] = []

    def write(body: bytes) -> None:
        try:
            written(path, body)
        except SaveFileError as exc:
            refused.append(exc.reason)

    bodies = [bytes([ord("a") + n]) * 4096 for n in range(8)]
    writers = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() in [HEAD + body for body in bodies]
    assert list(tmp_path.iterdir()) == [path]


def test_a_symlink_stays_and_what_it_names_is_replaced(tmp_path: Path) -> None:
    real = tmp_path / "real"
    link = tmp_path / "link"
    link.symlink_to(real)
    written(link)
    assert link.is_symlink()
    assert real.read_bytes() == b"head body"


@pytest.mark.parametrize("kind", ["symlink", "directory", "fifo"])
def test_what_is_no_file_at_the_partial_name_is_refused(
    tmp_path: Path, kind: str
) -> None:
    partial = tmp_path / "image.partial"
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    match kind:
        case "symlink":
            partial.symlink_to(victim)
        case "directory":
            partial.mkdir()
        case "fifo":
            os.mkfifo(partial)
    with pytest.raises(SaveFileError, match=r"image\.partial is .*remove it"):
        SaveFile(tmp_path / "image", HEAD)
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "image").exists()


def test_bad_targets_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    bad = {
        tmp_path: "it is a directory",
        tmp_path / "missing" / "image": "missing does not exist; create it first",
        tmp_path / "file" / "image": "Not a directory",
        tmp_path / ("n" * 248): "File name too long with .partial behind it",
        tmp_path / ("n" * 255): "File name too long with .partial behind it",
        tmp_path / ("n" * 300): "File name too long",
    }
    for path, reason in bad.items():
        with pytest.raises(SaveFileError, match=reason) as caught:
            SaveFile(path, HEAD)
        assert str(caught.value).startswith(f"can't write {path}: ")
        assert "\n" not in str(caught.value)


def test_devices_are_written_in_place() -> None:
    with SaveFile("/dev/null", HEAD) as file:
        assert file.partial is None
        os.write(file.fd, b"body")
        file.commit()
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_full_disk_is_named() -> None:
    with pytest.raises(SaveFileError, match="No space left on device; free some"):
        SaveFile("/dev/full", HEAD)


def test_a_pipe_without_reader_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SaveFileError, match="no process reads this pipe"):
        SaveFile(tmp_path / "pipe", HEAD)


def test_a_pipe_is_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        written(path)
        assert os.read(reader, 100) == b"head body"
    finally:
        os.close(reader)


def test_a_terminal_is_refused() -> None:
    master, slave = os.openpty()
    try:
        with pytest.raises(SaveFileError, match="it is a terminal"):
            SaveFile(os.ttyname(slave), HEAD)
    finally:
        os.close(master)
        os.close(slave)


def failing(
    call: str, wanted: Callable[[int], bool], error: int = errno.EIO
) -> Callable[..., None]:
    """Give a system call that fails on some descriptors or directories."""
    real = getattr(os, call)

    def act(*arguments: object, **named: object) -> None:
        fd = named.get("dir_fd", arguments[0])
        if isinstance(fd, int) and wanted(fd):
            raise OSError(error, os.strerror(error))
        real(*arguments, **named)

    return act


def is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def test_a_failed_fsync_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing("fsync", lambda fd: not is_directory(fd)))
    with SaveFile(path, HEAD) as file:
        with pytest.raises(
            SaveFileError, match=r"can't write .*Input/output"
        ) as caught:
            file.commit()
        assert not caught.value.in_place
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_not_on_the_disk_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing("fsync", is_directory))
    with SaveFile(path, HEAD) as file:
        with pytest.raises(SaveFileError) as caught:
            file.commit()
        assert caught.value.in_place
        text = "is whole, but its directory may not be on the disk: Input/output error"
        assert str(caught.value) == f"{path} {text}"
    assert path.read_bytes() == HEAD
    assert list(tmp_path.iterdir()) == [path]


def test_a_partial_file_that_can_not_be_removed_does_not_hide_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = SaveFile(tmp_path / "image", HEAD)
    fd = file.fd
    monkeypatch.setattr(os, "unlink", failing("unlink", is_directory))
    with pytest.raises(ZeroDivisionError), file:
        raise ZeroDivisionError
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_the_longest_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 247)
    written(path)
    assert list(tmp_path.iterdir()) == [path]


# ----- what a file system does not have ---------------------------------------------


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


# ----- what the end will need -------------------------------------------------------


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


# ----- open files, by their links in /proc ------------------------------------------


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
