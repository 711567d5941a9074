"""A save into a folder that another user may write replaces what was named, no more."""

import contextlib
import os
import stat
from pathlib import Path

import pytest

from libxlpy.save_file import SaveFile, SaveFileError
from tests.support.other_user import OTHER

HEAD = b"head"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(b"precious")
    return path


def give(path: Path) -> None:
    os.chown(path, OTHER, OTHER, follow_symlinks=False)


def test_a_link_there_is_refused(theirs: Path, victim: Path) -> None:
    (theirs / "image").symlink_to(victim)
    give(theirs / "image")
    with pytest.raises(SaveFileError, match=r"name what it leads to, or run as .*sudo"):
        SaveFile(theirs / "image", HEAD)
    assert victim.read_bytes() == b"precious"
    assert [path.name for path in theirs.iterdir()] == ["image"]


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    theirs: Path, victim: Path
) -> None:
    """What is open is the folder that was looked at, whatever its name is by now."""
    folder = theirs / "folder"
    folder.mkdir()
    with SaveFile(folder / "victim", HEAD) as file:
        folder.rename(theirs / "moved")
        folder.symlink_to(victim.parent)
        give(folder)
        file.commit()
    assert victim.read_bytes() == b"precious"
    assert (theirs / "moved" / "victim").read_bytes() == HEAD


@pytest.mark.parametrize("call", ["open", "stat", "readlink"])
def test_nor_between_two_calls(
    theirs: Path, victim: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user has a turn before each call of a kind, one at a time."""
    image, kept = theirs / "image", theirs / "kept"
    real = getattr(os, call)
    for turn in range(40):
        image.unlink(missing_ok=True)
        image.write_bytes(b"old")
        left = turn

        def act(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                image.rename(kept)
                image.symlink_to(victim)
                give(image)
            return real(*arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, act)
            try:
                with SaveFile(image, HEAD) as file:
                    file.commit()
            except SaveFileError:
                pass
        assert victim.read_bytes() == b"precious"


def test_a_partial_file_that_was_exchanged_is_not_put_in_place(theirs: Path) -> None:
    (theirs / "image").write_bytes(b"old")
    with SaveFile(theirs / "image", HEAD) as file:
        assert file.partial is not None
        file.partial.unlink()
        file.partial.write_bytes(b"made up")
        with pytest.raises(SaveFileError, match=r"changed image\.partial; choose a"):
            file.commit()
    assert (theirs / "image").read_bytes() == b"old"
    assert (theirs / "image.partial").read_bytes() == b"made up"


async def test_one_that_is_exchanged_at_the_last_moment_is_found_out(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def rename(*arguments: object, **named: object) -> None:
        partial = theirs / "image.partial"
        partial.unlink()
        partial.write_bytes(b"made up")
        real(*arguments, **named)  # type: ignore[arg-type]

    async with await SaveFile.when_free(theirs / "image", HEAD) as file:
        monkeypatch.setattr(os, "rename", rename)
        with pytest.raises(SaveFileError, match="changed image; choose") as caught:
            await file.put_in_place()
    assert not caught.value.in_place
    assert not file.committed


@pytest.mark.parametrize("kind", ["link", "file"])
@pytest.mark.parametrize("turn", range(4))
def test_what_is_to_be_written_in_place_must_be_what_was_looked_at(
    theirs: Path, victim: Path, kind: str, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one has the number of the old one, on many a file system."""
    pipe = theirs / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    real, left = os.open, turn

    def opening(path: object, *rest: object, **named: object) -> int:
        nonlocal left
        fd = real(path, *rest, **named)  # type: ignore[call-overload]
        left -= path == "pipe"
        if left == 0:
            left = -1
            pipe.unlink()
            pipe.symlink_to(victim) if kind == "link" else pipe.write_bytes(b"precious")
        return int(fd)

    monkeypatch.setattr(os, "open", opening)
    with contextlib.suppress(SaveFileError), SaveFile(pipe, HEAD):
        pass
    os.close(reader)
    assert victim.read_bytes() == b"precious"
    assert pipe.is_fifo() or pipe.read_bytes() == b"precious"


def test_a_pipe_that_another_has_put_where_all_may_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    give(tmp_path / "pipe")
    try:
        with pytest.raises(SaveFileError, match="user nobody has put a pipe"):
            SaveFile(tmp_path / "pipe", HEAD)
        os.chown(tmp_path / "pipe", os.geteuid(), -1)
        with SaveFile(tmp_path / "pipe", HEAD) as file:
            file.commit()
        assert os.read(reader, 10) == HEAD
    finally:
        os.close(reader)


def test_what_is_not_touched_by_others_is_written_as_ever(theirs: Path) -> None:
    (theirs / "image").write_bytes(b"old")
    give(theirs / "image")
    with SaveFile(theirs / "image", HEAD) as file:
        file.commit()
    status = (theirs / "image").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), 0o600)
    assert (theirs / "image").read_bytes() == HEAD
    assert [path.name for path in theirs.iterdir()] == ["image"]
