"""The real xl with libxlpy-save-helper in place of Xen's own helper."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .restoring import StuckPipe
from .support import (
    CONSOLES,
    Guest,
    assert_went_on,
    domid_of,
    has_shadow_paging,
    in_log_dirty_mode,
    ok,
    run,
    wait_for,
)

pytestmark = pytest.mark.xen

DROP_IN = shutil.which("libxlpy-save-helper") or "libxlpy-save-helper"
WITH_OURS = ("env", f"LIBXL_SAVE_HELPER={DROP_IN}")
RECEIVER = Path(__file__).with_name("fake_receiver.py")
MIB = 1 << 20
WRITE, WRITEV = "1", "20"  # system calls of x86-64
OUR_END = re.compile(r"libxlpy-save-helper: debug: complete r=0")


@pytest.fixture(params=["pv", "pvh", "hvm"])
def any_guest(request, make_guest) -> Guest:
    """A running guest of each type."""
    return make_guest(request.param)


LIVE = ["pvh", *(["pv"] if has_shadow_paging() else [])]


@pytest.fixture(params=[*LIVE, "hvm"])
def live_guest(request, make_guest) -> Guest:
    """A running guest of each type that this Xen can save live."""
    return make_guest(request.param)


def ours() -> list[int]:
    """Return the pids of our helpers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(arg in (b"--save-domain", b"--restore-domain") for arg in argv):
            assert any(b"libxlpy-save-helper" in arg for arg in argv), argv
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize(
    "any_guest",
    ["pv", pytest.param("pvh", marks=pytest.mark.core("drop-in")), "hvm"],
    indirect=True,
)
def test_save_and_restore(any_guest: Guest, saved: Path) -> None:
    before = any_guest.ticks()
    ok(*WITH_OURS, "xl", "save", "-c", any_guest.name, saved)
    assert_went_on(before, any_guest.next_ticks(2))
    any_guest.destroy()
    ok("xl", "restore", saved)  # Xen's own helper reads what ours wrote
    assert_went_on(before, any_guest.next_ticks(2))

    before = any_guest.ticks()
    done = run(*WITH_OURS, "xl", "-vvv", "save", any_guest.name, saved)
    assert done.returncode == 0, done.stderr
    assert OUR_END.search(done.stderr), done.stderr
    assert any_guest.gone()
    ok("xlpy", "verify", saved)
    done = run(*WITH_OURS, "xl", "-vvv", "restore", saved)
    assert done.returncode == 0, done.stderr
    assert OUR_END.search(done.stderr), done.stderr
    assert_went_on(before, any_guest.next_ticks(2))


def test_local_live_migration(live_guest: Guest) -> None:
    before = live_guest.ticks()
    receive = f"env LIBXL_SAVE_HELPER={DROP_IN} xl migrate-receive"
    old = domid_of(live_guest)
    ok(*WITH_OURS, "xl", "migrate", "-s", "", live_guest.name, receive)
    assert domid_of(live_guest) != old
    live_guest.console = CONSOLES / f"guest-{live_guest.name}--incoming.log"
    assert_went_on(before, live_guest.next_ticks(2))


# -- faults ----------------------------------------------------------------------------


def end(process: subprocess.Popen[str]) -> None:
    """End a process, whose stderr may have been read already."""
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


@contextmanager
def migration(guest: Guest, take: int, then: str) -> Iterator[subprocess.Popen[str]]:
    """A running `xl migrate` to a receiver that takes so many bytes of it."""
    rune = f"python3 -I {RECEIVER} {take} {then}"
    process = subprocess.Popen(
        [*WITH_OURS, "xl", "migrate", "-s", "", guest.name, rune],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        end(process)


def stuck_helper(domid: int) -> int:
    """Wait until our helper is in the middle of a live save; return its pid."""
    pid = wait_for("our helper in a full pipe", waiting_writer)
    # Once only: what Xen prints for it takes long on an emulated console.
    assert in_log_dirty_mode(domid)
    return pid


def waiting_writer() -> int | None:
    """Return our helper if it is in the same system call at two looks."""
    for pid in ours():
        path = Path(f"/proc/{pid}/task/{pid}/syscall")
        try:
            first = path.read_text()
        except OSError:
            return None
        if first.split()[0] in (WRITE, WRITEV) and path.read_text() == first:
            return pid
    return None


def test_any_end_of_a_live_save_cleans_up(live_guest: Guest) -> None:
    """Of our helper, of who reads the stream, of xl itself."""
    before, domid = live_guest.ticks(), domid_of(live_guest)

    def assert_clean() -> None:
        assert not in_log_dirty_mode(domid)
        assert live_guest.running()

    with migration(live_guest, 2 * MIB, "stop") as xl:
        os.kill(stuck_helper(domid), signal.SIGTERM)
        _, said = xl.communicate()
        assert xl.returncode != 0
    assert "libxl-save-helper" not in said or "fatal signal" not in said
    assert_clean()

    with migration(live_guest, 2 * MIB, "die") as xl:
        _, said = xl.communicate()
        assert xl.returncode != 0
    assert "Broken pipe" in said
    assert "signal" not in said
    assert_clean()

    with migration(live_guest, 2 * MIB, "stop") as xl:
        stuck_helper(domid)
        xl.kill()
        wait_for("the helper's end", lambda: not ours() or None)
    assert_clean()
    assert_went_on(before, live_guest.next_ticks(2))


@contextmanager
def save_into_a_full_pipe(guest: Guest, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A running `xl save` that suspended the guest and can't get rid of its memory."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    process = subprocess.Popen(
        [*WITH_OURS, "xl", "save", guest.name, str(path)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for("the guest's suspension", lambda: not guest.running() or None)
        yield process
    finally:
        end(process)
        os.close(reader)
        path.unlink()


def test_any_end_of_a_save_resumes_the_guest(any_guest: Guest, saved: Path) -> None:
    """With its own helper, xl that ends leaves it suspended for ever."""
    before = any_guest.ticks()
    with save_into_a_full_pipe(any_guest, saved) as xl:
        [pid] = ours()
        os.kill(pid, signal.SIGTERM)
        _, said = xl.communicate()
    assert xl.returncode != 0
    assert "resuming domain" in said
    assert any_guest.running()

    with save_into_a_full_pipe(any_guest, saved) as xl:
        xl.kill()
        wait_for("the helper's end", lambda: not ours() or None)
    wait_for("the guest to run", lambda: any_guest.running() or None)
    assert_went_on(before, any_guest.next_ticks(2))


@pytest.mark.parametrize("kind", ["pv", "pvh", "hvm"])
def test_sigterm_in_a_restore_leaves_no_domain(store, saved: Path, kind: str) -> None:
    stored: Guest = store(kind)
    with StuckPipe(saved) as pipe:
        process = subprocess.Popen(
            [*WITH_OURS, "xl", "restore", str(pipe.path)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        pipe.wait_read()
        [pid] = ours()
        os.kill(pid, signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode != 0
    assert "fatal signal" not in said
    assert stored.gone()
