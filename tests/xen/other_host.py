"""The other machine of the rig as a host that guests go to: by ssh, by network."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .migrating import INCOMING, OURS, jobs, known
from .support import CONSOLES, Guest, assert_went_on, ok, run, wait_for

#: What the rig calls it.
PEER = "peer"
#: Of the network.
CARD = "eth0"
HELPER = "libxlpy_helper"


def there(*command: str | Path) -> str:
    """Run a program on the other machine that must succeed; return its stdout."""
    return ok("ssh", PEER, shlex.join(map(str, command)))


class GuestThere(Guest):
    """A guest of ours that is to come to the other machine."""

    def __init__(self, guest: Guest) -> None:
        """Take it while it is here."""
        super().__init__(guest.kind, guest.name)
        self.console = CONSOLES / f"guest-{guest.name}{INCOMING}.log"

    def console_text(self) -> str:
        """See the base class."""
        return run("ssh", PEER, f"cat {self.console}").stdout

    def wake(self) -> None:
        """See the base class."""
        run("ssh", PEER, f"xl sysrq {self.name} h")

    def destroy(self) -> None:
        """See the base class."""
        for name in known(there):
            if name.startswith(self.name):
                run("ssh", PEER, f"xl destroy {name}")


@contextmanager
def leaves(guest: Guest) -> Iterator[None]:
    """Check that what is done meanwhile moves a guest to the other machine, whole."""
    before, uuid, had = guest.ticks(), known()[guest.name].uuid, jobs()
    yield
    assert not known()
    assert jobs() == had
    now = known(there)
    assert now.keys() == {guest.name}
    assert now[guest.name].uuid == uuid
    assert_went_on(before, GuestThere(guest).next_ticks(2))


def migrate_there(guest: Guest, sender: str, receiver: str) -> str:
    """Have a guest migrate to the other machine; return what was said of it.

    Between two of ours in our own handshake, which takes two connections.
    """
    if sender == receiver == OURS:
        words = [guest.name, PEER]
    else:
        words = ["-s", "", guest.name, f"ssh {PEER} {receiver} migrate-receive"]
    done = run(sender, "migrate", *words)
    assert done.returncode == 0, done.stderr
    return done.stderr


@contextmanager
def cut_wire() -> Iterator[None]:
    """Have nothing come through between the machines; neither is told."""
    ok("ip", "link", "set", CARD, "down")
    try:
        yield
    finally:
        ok("ip", "link", "set", CARD, "up")


def wait_until_nothing_is_left_there() -> None:
    """Wait for the end of all that an attempt has made on the other machine."""
    wait_for("no copy there", lambda: None if known(there) else True)
    wait_for("no helper there", lambda: None if helpers_there() else True)
    assert "lost" not in jobs(there).values()


def helpers_there() -> str:
    """Return the pids of the helpers, and the monitors, that run there."""
    return run("ssh", PEER, f"pgrep -f 'python.*{HELPER}'").stdout
