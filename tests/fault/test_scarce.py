"""A disk that is full or broken, no descriptors: nobody's guest stays suspended."""

import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy import GuestState, Outcome
from libxlpy.simxen.client import request
from libxlpy.streams import Format, walk_to_end
from libxlpy.streams.reader import read_xl_header
from tests.fault.deaths import recover
from tests.support.guest import Guest
from tests.support.shell import PATIENCE, ROOT, environment
from tests.support.victim import Victim

XLPY = Path(__file__).with_name("scarce_xlpy.py")


def xlpy(
    what: str, phase: str, host: Path, *words: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command that has nothing more of it once its job enters the phase."""
    return subprocess.run(
        [sys.executable, str(XLPY), what, phase, "--host", str(host), *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("phase", ["suspended", "settle", "done"])
@pytest.mark.parametrize("what", ["ENOSPC", "EIO", "EMFILE"])
@pytest.mark.parametrize("option", ["-c", ""])
def test_save_ends_with_the_guest_looked_after(
    host: Path, tmp_path: Path, what: str, phase: str, option: str
):
    guest, path = Guest(host, "hvm"), tmp_path / "image"
    options = [option] if option else []
    done = xlpy(what, phase, host, "save", *options, guest.name, str(path))
    said = f"{done.returncode}: {done.stderr}"
    assert done.returncode in (0, 1), said
    assert "Traceback" not in done.stderr, said
    assert "bug in" not in done.stderr, said
    assert "defect" not in done.stderr, said
    if done.returncode == 0:
        assert_whole(path)
    domids = {each["domid"] for each in request(host, "list")["domains"]}
    if guest.domid not in domids:
        assert (option, done.returncode) == ("", 0), said
        return
    found = recover(Victim(host, guest.domid, "hvm"))
    facts = guest.facts()
    assert not facts["shutdown"], f"{said} {found}"
    if done.returncode:
        assert not facts["paused"], f"{said} {found}"
    assert not list((host / "jobs").glob(f"{guest.domid}.*")), f"{said} {found}"
    guest.destroy()


@pytest.mark.parametrize(
    "phase", ["spawn", "hello", "libxc", "suspended", "settle", "done"]
)
@pytest.mark.parametrize("option", ["-c", ""])
def test_save_without_threads_fails_and_leaves_nothing(
    host: Path, tmp_path: Path, phase: str, option: str
):
    guest, path = Guest(host, "hvm"), tmp_path / "image"
    options = [option] * bool(option)
    done = xlpy("threads", phase, host, "save", *options, guest.name, str(path))
    assert done.returncode == 1, done.stderr
    assert_one_line_of_threads(done.stderr)
    assert not list(tmp_path.iterdir()), done.stderr
    facts = guest.facts()
    assert not facts["shutdown"], done.stderr
    assert not facts["paused"], done.stderr
    assert not recover(Victim(host, guest.domid, "hvm"))
    guest.destroy()


@pytest.mark.parametrize("phase", ["check", "spawn", "hello", "settle", "launch"])
def test_restore_without_threads_fails_and_is_recovered(
    host: Path, tmp_path: Path, phase: str
):
    guest, path = Guest(host, "pv"), tmp_path / "image"
    saved = xlpy("nothing", "never", host, "save", guest.name, str(path))
    assert saved.returncode == 0, saved.stderr
    done = xlpy("threads", phase, host, "restore", "--name", "lost", str(path))
    assert done.returncode == 1, done.stderr
    assert_one_line_of_threads(done.stderr)
    left = {each["domid"] for each in request(host, "list")["domains"]}
    if left:
        [domid] = left
        assert f"domid {domid}" in done.stderr
        [found] = recover(Victim(host, domid, "pv"))
        if found.outcome is Outcome.FINISHED:  # all was read: it waits, paused
            assert found.guest is GuestState.PAUSED
            request(host, "destroy", domid=domid)
        else:
            assert found.outcome is Outcome.ROLLED_BACK
    assert not request(host, "list")["domains"]
    assert not list((host / "jobs").iterdir())


def assert_one_line_of_threads(said: str) -> None:
    assert "can't start new thread: there are too many (ulimit -u" in said
    for word in ("Traceback", "bug in", "defect"):
        assert word not in said, said
    assert sum(line.startswith("xlpy: ") for line in said.splitlines()) == 1, said


@pytest.mark.parametrize("option", ["-p", ""])
def test_restored_guest_outlives_a_journal_that_could_not_be_written(
    host: Path, tmp_path: Path, option: str
):
    """Its entry says that the restore has begun, and is there when all has ended."""
    guest, path = Guest(host, "pv"), tmp_path / "image"
    saved = xlpy("nothing", "never", host, "save", guest.name, str(path))
    assert saved.returncode == 0, saved.stderr
    options = ["restore", *[option] * bool(option), "--name", "lost", str(path)]
    done = xlpy("EIO", "start", host, *options)
    assert done.returncode == 0, done.stderr
    [made] = request(host, "list")["domains"]
    assert (host / "jobs" / f"{made['domid']}.json").exists(), "nothing was tried"
    [found] = recover(Victim(host, made["domid"], "pv"))
    assert found.outcome is Outcome.FINISHED
    assert found.guest is (GuestState.PAUSED if option else GuestState.RUNNING)
    [left] = request(host, "list")["domains"]
    assert left["guest_pid"] == made["guest_pid"]
    assert not list((host / "jobs").iterdir())
    request(host, "destroy", domid=made["domid"])


def assert_whole(path: Path) -> None:
    with path.open("rb") as file:
        read_xl_header(file.fileno())
        start = file.tell()
        walked = walk_to_end(file.fileno(), Format.LIBXL)
        assert start + walked.length == path.stat().st_size
