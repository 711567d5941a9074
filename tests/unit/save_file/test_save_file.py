"""A save file's name never holds half a domain, whatever ends the writing."""

import asyncio
import fcntl
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from libxlpy import UsageError
from libxlpy.save_file import SaveFile, SaveFileError
from tests.unit.save_file.writing import HEAD, failing, is_directory, written


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


async def test_a_closed_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with SaveFile(path, HEAD) as file:
        pass
    for act in (lambda: file.fd, file.commit):
        with pytest.raises(UsageError, match="image is closed: make a SaveFile anew"):
            act()
    with pytest.raises(UsageError, match="is closed"):
        await file.put_in_place()
    file.close()
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
