"""Locks and entries of the journal's folder."""

import errno
import os
import subprocess
import sys

import pytest

from libxlpy.errors import BackendError
from libxlpy.journal import Folder, JournalBroken, Lock, Locked
from tests.support.other_user import OTHER
from tests.unit.journal.entries import entry


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "jobs")


def test_lock_is_held_against_all_and_tells_who_holds_it(folder):
    with folder.lock(7) as lock:
        lock.tell("a save", "save-7-x")
        with pytest.raises(Locked) as caught:
            folder.lock(7)
        holder = caught.value.holder
        assert (holder.what, holder.job, holder.pid) == (
            "a save",
            "save-7-x",
            os.getpid(),
        )
        folder.lock(8).release()
    folder.lock(7).release()
    assert list(folder.path.iterdir()) == []


def test_lock_of_one_who_has_not_told_yet(folder):
    with folder.lock(7), pytest.raises(Locked) as caught:
        folder.lock(7)
    assert caught.value.holder is None


def test_lock_goes_with_its_process(folder):
    program = (
        "import sys; from pathlib import Path; from libxlpy.journal import Folder\n"
        "lock = Folder(Path(sys.argv[1])).lock(7); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder.path)], stdin=-1, stdout=-1
    ) as other:
        other.stdout.readline()
        with pytest.raises(Locked):
            folder.lock(7)
        other.kill()
    folder.lock(7).release()


def test_entry_is_written_read_and_forgotten(folder):
    with folder.lock(7) as lock:
        assert lock.read() is None
        for phase in ("hello", "start"):
            lock.write(entry(phase=phase))
            assert folder.read(7) == entry(phase=phase)
        assert folder.domids() == [7]
    assert folder.domids() == [7]
    with folder.lock(7) as lock:
        lock.forget()
    assert folder.domids() == []


def test_modes(folder):
    with folder.lock(7) as lock:
        lock.write(entry())
        modes = {path.stat().st_mode & 0o777 for path in folder.path.iterdir()}
    assert modes == {0o600}
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_folder_that_is_a_link_is_refused(folder, tmp_path):
    (tmp_path / "other").mkdir(mode=0o700)
    folder.path.symlink_to(tmp_path / "other")
    with pytest.raises(BackendError, match="is no folder: remove it"):
        folder.domids()


def test_root_makes_no_folder_for_others_and_believes_none_of_theirs(folder, tmp_path):
    """A name is given to nobody: it may be another file by then."""
    os.chown(tmp_path, OTHER, OTHER)
    folder.make()
    assert folder.path.stat().st_uid == os.geteuid()
    with folder.lock(7) as lock:
        lock.write(entry())
    os.chown(folder.path / "7.json", OTHER, OTHER)
    with pytest.raises(JournalBroken, match=r"is not ours alone \(user 65534\)"):
        folder.read(7)
    os.chown(folder.path, OTHER, OTHER)
    with pytest.raises(BackendError, match="user 65534: run as that user"):
        folder.domids()


def test_entry_that_is_a_link_or_pipe_is_refused(folder, tmp_path):
    folder.make()
    (tmp_path / "x").write_bytes(entry().encode())
    (folder.path / "7.json").symlink_to(tmp_path / "x")
    os.mkfifo(folder.path / "8.json")
    for domid, said in ((7, "can't be read"), (8, "is no regular file")):
        with pytest.raises(JournalBroken, match=said):
            folder.read(domid)


def test_clear_leaves_what_is_not_ours(folder):
    with folder.lock(7) as lock:
        lock.write(entry())
        other = folder.path / "notes.txt"
        other.touch()
        folder.clear()
        assert list(folder.path.iterdir()) == [other]


def test_what_killed_processes_have_left_is_removed(folder):
    with folder.lock(7) as lock:
        lock.write(entry())
    for name in ("7.json.new", "8.json.new", "8.lock", "9.lock"):
        (folder.path / name).touch(mode=0o600)
    with folder.lock(9):
        folder.sweep()
        assert (folder.path / "9.lock").exists()  # of a living one
    folder.sweep()
    folder.lock(7).release()
    assert {path.name for path in folder.path.iterdir()} == {"7.json", "7.lock"}


# ----- a disk that is full ------------------------------------------------------------


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_who_holds_it_is_told_if_that_can_be(folder, monkeypatch):
    with folder.lock(7) as lock:
        monkeypatch.setattr(os, "pwrite", full)
        lock.tell("a save")


def test_what_becomes_known_is_written_over_the_old(folder, monkeypatch):
    with folder.lock(7) as lock:
        life = lock.begin(entry())
        with monkeypatch.context() as patched:
            patched.setattr(Lock, "write", full)
            lock.rewrite(entry(complete=True))
        assert lock.read() == entry(complete=True)
        assert not folder.lost(entry())
        life.close()
        assert folder.lost(entry())
        lock.forget()
    assert list(folder.path.iterdir()) == []


def test_a_job_that_can_t_be_written_down_leaves_what_was_there(folder, monkeypatch):
    with folder.lock(7) as lock:
        life = lock.begin(entry())
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", lambda fd, data: 5)
            with pytest.raises(OSError, match="No space"):
                lock.begin(entry(job="save-7-fedcba"))
        assert lock.read() == entry()
        assert not folder.lost(entry())
        names = {path.name for path in folder.path.iterdir()}
        assert names == {"7.json", "7.life", "7.lock"}
        lock.forget()
        life.close()
