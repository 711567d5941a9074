"""A real guest migrates from Xen 4.17 to 4.20: two VMs, a network between them.

The older Xen's machine does it all; the newer one is there for it.
"""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .faults import COPYING
from .following import Following
from .migrating import AWAY, INCOMING, OURS, XL, between, known, stays
from .other_host import (
    PEER,
    GuestThere,
    cut_wire,
    leaves,
    migrate_there,
    there,
    wait_until_nothing_is_left_there,
)
from .peer import dismiss, gives
from .support import Guest, ok, run, wait_for

pytestmark = pytest.mark.xen

SUCCESS = "Migration successful."


@pytest.fixture
def make_traveller(joined: None, make_guest) -> Iterator[Callable[[str], Guest]]:
    """Make running guests here; after the test they are nowhere."""
    del joined
    made: list[Guest] = []

    def make(kind: str) -> Guest:
        guest: Guest = make_guest(kind)
        made.append(GuestThere(guest))
        return guest

    yield make
    for copy in made:
        copy.destroy()


@pytest.mark.cell(hosts=2)
@pytest.mark.parametrize(
    ("kind", "sender", "receiver"),
    [
        pytest.param("pvh", OURS, OURS, marks=pytest.mark.core("to another host")),
        ("hvm", OURS, OURS),
        ("pvh", OURS, XL),
        ("pvh", XL, OURS),
    ],
)
def test_goes_on_at_the_other_host(
    make_traveller, kind: str, sender: str, receiver: str
) -> None:
    guest = make_traveller(kind)
    with leaves(guest):
        said = migrate_there(guest, sender, receiver)
    assert SUCCESS in said


def test_wire_is_cut_while_it_is_copied(make_traveller) -> None:
    guest = make_traveller("pvh")
    with stays(guest), Following("migrate", guest.name, PEER) as ours:
        ours.until_doing(COPYING)
        copy = guest.name + INCOMING
        wait_for("its copy", lambda: copy in known(there) or None)
        with cut_wire():
            line = ours.failure()
            assert "guest is running" in line
            assert "peer_silent" in line
            guest.next_ticks()
    wait_until_nothing_is_left_there()


def test_left_open_is_settled_by_what_both_hosts_know(make_traveller) -> None:
    guest = make_traveller("pvh")
    folder = Path(there("mktemp", "-d").strip())
    command = between("swallow", XL, folder)
    with stays(guest):
        words = ("-s", "", guest.name, f"ssh {PEER} {shlex.quote(command)}")
        done = run("xlpy", "migrate", *words)
        assert "it is left suspended here" in done.stderr
        assert known().keys() == {guest.name + AWAY}
        assert known(there).keys() == {guest.name + INCOMING}
        ok("xlpy", "migrate", "--resolve", guest.name, PEER)
        ok("xlpy", "recover")
    wait_until_nothing_is_left_there()


@pytest.mark.core
@pytest.mark.usefixtures("stood_by")
def test_the_other_machine_goes_on() -> None:
    """Stands last: it has tests of its own."""
    if gives():
        dismiss()
