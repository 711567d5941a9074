"""What migrations need: a host that is its own target, and what must hold afterwards.

The guest moves from dom0 to the same dom0. With an empty ssh command a migration's
target is the command that receives; our own handshake, which takes two connections,
needs something in place of ssh.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .cells import OURS as OURS
from .cells import XL as XL
from .support import CONSOLES, Guest, assert_went_on, ok, run, wait_for

#: Stands between a sender and a receiver.
GO_BETWEEN = Path(__file__).with_name("go_between.py")
DOM0 = "Domain-0"
#: In place of ssh: what is to be run at the target is run here.
SSH = """sh -c 'exec sh -c "$2"' ssh"""
TARGET = "target"
INCOMING, AWAY = "--incoming", "--migratedaway"


@dataclass(frozen=True)
class Known:
    """A domain as the hypervisor and xenstored have it."""

    uuid: str
    domid: int


def known(ask: Callable[..., str] = ok) -> dict[str, Known]:
    """Return all domains but dom0 by name; no two have one name.

    Args:
        ask: Runs a program on the host that is meant.
    """
    found: dict[str, Known] = {}
    for line in ask("xl", "vm-list").splitlines()[1:]:
        uuid, domid, name = line.split()
        assert name not in found, f"two domains are called {name}"
        found[name] = Known(uuid, int(domid))
    del found[DOM0]
    return found


def migrate(guest: Guest, sender: str, receiver: str, *options: str) -> str:
    """Have a guest migrate; return what was said of it.

    Between two of ours in our own handshake.
    """
    words = (sender, "migrate", *options, "-s", "", guest.name)
    target = f"{receiver} migrate-receive"
    if sender == receiver == OURS:
        words = (*words[:-2], SSH, guest.name)
        target = TARGET
    done = run(*words, target)
    assert done.returncode == 0, done.stderr
    return done.stderr


@contextmanager
def fake_ssh() -> Iterator[Path]:
    """Give a program in place of ssh, as SSH, that `xl` can use, too."""
    with TemporaryDirectory() as name:
        path = Path(name) / "ssh"
        path.write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')
        path.chmod(0o755)
        yield path


@contextmanager
def moved(guest: Guest, *, paused: bool = False) -> Iterator[None]:
    """Check that what is done meanwhile moves a guest, and leaves no trace.

    Args:
        guest: It runs.
        paused: It does not afterwards: its console is not looked at.
    """
    before, old, had = guest.ticks(), known()[guest.name], jobs()
    yield
    now = known()
    assert now.keys() == {guest.name}
    assert now[guest.name].uuid == old.uuid
    assert now[guest.name].domid != old.domid
    assert jobs() == had
    # xenconsoled goes on in the file of the name that the domain came with.
    guest.console = CONSOLES / f"guest-{guest.name}{INCOMING}.log"
    if not paused:
        assert_went_on(before, guest.next_ticks(2))


@contextmanager
def stays(guest: Guest, *left: str) -> Iterator[None]:
    """Check that a guest goes on where it is, under its name.

    Args:
        guest: It runs.
        left: What is added to its name in those of domains that are left of it.
    """
    before, old, had = guest.ticks(), known()[guest.name], jobs()
    yield
    now = known()
    assert now.keys() == {guest.name, *(guest.name + each for each in left)}
    assert now[guest.name] == old
    assert jobs() == had
    assert_went_on(before, guest.next_ticks(2))


def jobs(ask: Callable[..., str] = ok) -> dict[str, str]:
    """Return the state of each job that is known on a host, by its name."""
    found = json.loads(ask("xlpy", "jobs", "--json"))
    return {job["job"]: job["state"] for job in found}


def settle(guest: Guest) -> None:
    """Destroy all that is left of a guest, and have its jobs forgotten."""
    for name in known():
        if name.startswith(guest.name):
            ok("xl", "destroy", name)
    wait_for("no domain to be left", lambda: None if known() else True)
    run("xlpy", "recover")
    assert "lost" not in jobs().values()


def between(action: str, command: str, folder: Path) -> str:
    """Give the command of a receiver with somebody who interferes; see GO_BETWEEN."""
    words = f"{sys.executable} {GO_BETWEEN} {action} {folder} {command}"
    return f"exec {words} migrate-receive"


def told(folder: Path) -> tuple[int, str]:
    """Give status and words of the receiver that had somebody interfere."""
    status, said = folder / "status", folder / "said"
    wait_for("the receiver's end", lambda: status.exists() or None)
    return int(status.read_text()), said.read_text()
