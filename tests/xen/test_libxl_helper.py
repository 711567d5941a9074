"""`xlpy save --helper libxl`: Xen's own helper, driven by our parent."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .loaded_xlpy import LoadedXlpy
from .support import Guest, assert_went_on, helpers, ok, run, wait_for

pytestmark = pytest.mark.xen

SAVE = ("xlpy", "-v", "save", "--helper", "libxl")
#: What Xen's helper logs first.
THEIRS = "libxl-save-helper: starting save"


def test_real_xl_restores_it(guest: Guest, saved: Path) -> None:
    before = guest.ticks()
    done = run(*SAVE, guest.name, saved)
    assert done.returncode == 0, done.stderr
    assert THEIRS in done.stderr
    assert guest.gone()
    ok("xlpy", "verify", saved)
    guest.restore(saved)
    assert_went_on(before, guest.next_ticks(2))


def test_live_save_leaves_it_running(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    before = guest.ticks()
    done = run(*SAVE, "--live", "-c", guest.name, saved)
    assert done.returncode == 0, done.stderr
    assert_went_on(before, guest.next_ticks(2))
    guest.destroy()
    guest.restore(saved)
    assert_went_on(before, guest.next_ticks(2))


def theirs() -> int:
    """Return the pid of Xen's helper."""
    assert helpers()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"/libxl-save-helper"):
            return int(path.parent.name)
    raise AssertionError(f"not running: {helpers()}")


@contextmanager
def save_into_a_full_pipe(guest: Guest, path: Path) -> Iterator[LoadedXlpy]:
    """A running save that suspended the guest and can't get rid of its memory."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    process = LoadedXlpy([*SAVE[1:], guest.name, path])
    try:
        wait_for("the guest's suspension", lambda: not guest.running() or None)
        yield process
    finally:
        process.kill()
        process.communicate()
        os.close(reader)
        path.unlink()


def test_guest_survives_its_end_and_ours(guest: Guest, saved: Path) -> None:
    before = guest.ticks()
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
        with save_into_a_full_pipe(guest, saved) as xlpy:
            os.kill(theirs(), number)
            if number == signal.SIGSTOP:
                xlpy.terminate()
            _, said = xlpy.communicate()
        assert xlpy.returncode != 0
        assert "guest is running" in said.splitlines()[-1], said

    with save_into_a_full_pipe(guest, saved) as xlpy:
        xlpy.kill()
        wait_for("the helpers' end", lambda: not helpers() or None)
    wait_for("the guest to run", lambda: guest.running() or None)
    assert_went_on(before, guest.next_ticks(2))
