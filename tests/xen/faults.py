"""What tests of faults do to a save, and what must be whole afterwards."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .support import (
    Guest,
    assert_went_on,
    domid_of,
    in_log_dirty_mode,
    ok,
    processes,
)

#: What libxenguest says it is doing in a live save's first pass.
COPYING = "Frames iteration 0"
OLD = b"an older save of it"


@contextmanager
def unharmed(guest: Guest, saved: Path) -> Iterator[None]:
    """Check that whatever happens leaves the guest running and the old file whole."""
    saved.write_bytes(OLD)
    before, domid = guest.ticks(), domid_of(guest)
    yield
    assert guest.running()
    assert not in_log_dirty_mode(domid)
    assert saved.read_bytes() == OLD
    assert list(saved.parent.iterdir()) == [saved]
    assert_went_on(before, guest.next_ticks(2))


def request_of(domid: int) -> str:
    """Return what a guest is asked for; empty if for nothing."""
    return ok("xenstore-read", f"/local/domain/{domid}/control/shutdown").strip()


def stopped(name: str, then: Callable[[], str]) -> str:
    """Do something while a daemon of dom0 is stopped."""
    [pid] = processes(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        return then()
    finally:
        os.kill(pid, signal.SIGCONT)


def update_xenstored() -> None:
    """Have xenstored start over with all that it knows, as after an upgrade."""
    [pid] = processes("xenstored")
    program = Path(f"/proc/{pid}/exe").readlink()
    ok("xenstore-control", "live-update", program)
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert b"--live-update" in words or b"-U" in words, words
