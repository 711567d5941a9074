"""A report is written whole or not at all, and in nobody else's place."""

import os
from pathlib import Path

import pytest

from libxlpy.cli.report.file import ReportFile
from libxlpy.cli.terminal.outcome import CommandFailed


def refused(path: Path, *others: Path) -> str:
    """Give why a file is refused; both times, and it is left as it was."""
    with pytest.raises(CommandFailed) as caught:
        ReportFile(path).check(others)
    if not others:
        with pytest.raises(CommandFailed, match="can't be written: "):
            ReportFile(path).write(b"new")
    assert str(caught.value).startswith(f"report {path} can't be written: ")
    return str(caught.value).partition("can't be written: ")[2]


def test_checking_leaves_nothing_and_writing_one_file(tmp_path: Path):
    path = tmp_path / "web.html"
    file = ReportFile(path)
    file.check((tmp_path / "web.save",))
    assert list(tmp_path.iterdir()) == []
    for data in (b"one", b"another"):
        file.write(data)
        assert list(tmp_path.iterdir()) == [path]
        assert path.read_bytes() == data


def test_folder_that_is_not_there_is_named(tmp_path: Path):
    reason = refused(tmp_path / "no" / "web.html")
    assert reason == f"folder {tmp_path}/no does not exist"


def test_what_is_no_regular_file_is_left_alone(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "folder", tmp_path / "pipe", Path("/dev/null")):
        assert refused(path) == "it is no regular file; name another one"
    with (tmp_path / "open").open("wb") as file:
        link = Path(f"/proc/self/fd/{file.fileno()}")
        assert refused(link) == "it is no regular file; name another one"


def test_link_leads_to_the_file_that_it_names(tmp_path: Path):
    (tmp_path / "link").symlink_to("there.html")
    ReportFile(tmp_path / "link").write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there.html").read_bytes() == b"new"


def test_file_of_another_user_is_left_alone(tmp_path: Path):
    path = tmp_path / "theirs.html"
    path.write_bytes(b"theirs")
    os.chown(path, 12345, -1)
    assert "it belongs to user '#12345'; name another one" in refused(path)
    assert path.read_bytes() == b"theirs"


def test_save_file_itself_is_refused(tmp_path: Path):
    path = tmp_path / "web"
    for _ in ("not there", "there"):
        assert refused(path, path) == "the domain goes there; name another file"
        path.touch()
    (tmp_path / "link").symlink_to(path)
    assert "the domain goes there" in refused(tmp_path / "link", path)


def test_full_disk_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "web.html"
    path.write_bytes(b"old")

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(CommandFailed, match="No space left on device"):
        ReportFile(path).write(b"new")
    assert [(each, each.read_bytes()) for each in tmp_path.iterdir()] == [
        (path, b"old")
    ]
