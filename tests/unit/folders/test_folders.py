"""What another user could have put there is not followed, and not believed."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from libxlpy.errors import BackendError
from libxlpy.folders import (
    MAXSYMLINKS,
    NotOursAlone,
    check_alone,
    find,
    open_folder,
    trusted,
)
from tests.support.other_user import OTHER


def found(path: Path) -> Path:
    """Give what a name leads to, by the descriptor."""
    place = find(path)
    try:
        return Path(f"/proc/self/fd/{place.folder}").readlink() / place.name
    finally:
        os.close(place.folder)


def link_of(uid: int, path: Path, target: Path | str) -> Path:
    path.symlink_to(target)
    os.chown(path, uid, uid, follow_symlinks=False)
    return path


def test_links_are_followed_as_the_kernel_does(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "absolute").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to("../absolute/./b//")
    (tmp_path / "name").symlink_to("a/up/file")
    for text in ("name", "absolute/up/file", "a/b/../up/file", "a//./b/file"):
        path = Path(f"{tmp_path}/{text}")
        assert found(path) == path.resolve() == tmp_path / "a" / "b" / "file"


def test_what_is_not_there_yet_is_a_name_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("new")
    assert found(Path("link")) == tmp_path / "new"
    with pytest.raises(FileNotFoundError) as caught:
        find("missing/new")
    assert caught.value.filename == str(tmp_path / "missing")


def test_links_that_go_round_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(OSError, match="Too many levels"):
        find(tmp_path / "round")
    chain = tmp_path / "0"
    chain.touch()
    for number in range(MAXSYMLINKS):
        (tmp_path / f"{number + 1}").symlink_to(f"{number}")
    assert found(tmp_path / f"{MAXSYMLINKS}") == chain
    assert len(os.listdir("/proc/self/fd")) == opened  # noqa: PTH208


@pytest.mark.parametrize("where", ["last", "middle"])
def test_a_link_of_another_user_is_not_followed(
    tmp_path: Path, theirs: Path, where: str
) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "file").touch()
    if where == "last":
        path = link_of(OTHER, theirs / "x", tmp_path / "ours" / "file")
    else:
        path = link_of(OTHER, theirs / "x", tmp_path / "ours") / "file"
    with pytest.raises(NotOursAlone, match=r"theirs/x is a link .*sudo -u nobody"):
        find(path)


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o775])
def test_nor_is_one_in_a_folder_that_all_may_write(tmp_path: Path, mode: int) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    (tmp_path / "file").touch()
    link_of(OTHER, shared / "x", tmp_path / "file")
    with pytest.raises(NotOursAlone, match="is a link that user nobody has put there"):
        find(shared / "x")


def test_links_that_only_we_can_have_put_there_are_followed(
    tmp_path: Path, theirs: Path
) -> None:
    (tmp_path / "file").touch()
    given = link_of(OTHER, tmp_path / "given", "file")  # in a folder of ours
    own = link_of(os.geteuid(), theirs / "own", tmp_path / "file")
    assert found(given) == found(own) == tmp_path / "file"


def test_a_folder_that_has_become_a_link_is_no_folder(
    tmp_path: Path, theirs: Path
) -> None:
    os.close(open_folder(theirs))
    link_of(OTHER, theirs / "sub", tmp_path)
    with pytest.raises(NotOursAlone):
        open_folder(theirs / "sub")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        open_folder(tmp_path / "file")


# ----- ours alone ---------------------------------------------------------------------


def test_a_folder_of_ours_below_sticky_ones_is_ours_alone(tmp_path: Path) -> None:
    (tmp_path / "shared" / "host").mkdir(parents=True)
    (tmp_path / "shared").chmod(0o1777)
    check_alone(tmp_path / "shared" / "host")
    check_alone(tmp_path / "shared" / "missing")


Change = Callable[[Path], object]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda host: os.chown(host, OTHER, 0), r"^it belongs to .*sudo -u nobody"),
        (lambda host: host.chmod(0o770), r"^it is open to others: chmod go-w \S+host"),
        (lambda host: host.chmod(0o1777), "it is open to others"),
        (lambda host: os.chown(host.parent, OTHER, 0), r"way belongs to user nobody"),
        (lambda host: host.parent.chmod(0o777), r"open to others: chmod go-w \S+way,"),
        (lambda host: host.rmdir() or os.chown(host.parent, OTHER, 0), "way belongs"),
    ],
    ids=["theirs", "group", "sticky", "way", "open way", "not made yet"],
)
def test_others_could_change_it(tmp_path: Path, change: Change, said: str) -> None:
    host = tmp_path / "way" / "host"
    host.mkdir(parents=True)
    change(host)
    with pytest.raises(NotOursAlone, match=said):
        check_alone(host)


def test_a_user_without_rights_looks_at_the_folder_only(
    tmp_path: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (theirs / "host").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    check_alone(theirs / "host")  # root's
    os.chown(theirs / "host", 1000, 0)
    check_alone(theirs / "host")
    with pytest.raises(NotOursAlone):
        check_alone(theirs)


def test_root_of_the_system_is_whoever_owns_its_first_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a user namespace that is not 0."""
    assert not trusted(OTHER)
    status = Path("/").stat()
    seen = os.stat_result((status[stat.ST_MODE], *status[1:4], OTHER, *status[5:10]))
    monkeypatch.setattr(Path, "stat", lambda _: seen)
    assert trusted(OTHER)


def test_what_nobody_can_look_at_is_not_taken_for_ours_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", none_left)
    with pytest.raises(BackendError, match="Too many open files"):
        check_alone(tmp_path)
