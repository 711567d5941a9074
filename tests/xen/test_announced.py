"""What a real network and a real guest are told of a migration."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .following import Following
from .migrating import OURS, SSH, TARGET, migrate, moved
from .restoring import connect_interface
from .support import domid_of, ok
from .world import BRIDGE, world

pytestmark = pytest.mark.xen

MAC = "00:16:3e:01:02:04"
ADDRESS = "192.0.2.7"
ETH_ARP, ETH_RARP = b"\x08\x06", b"\x80\x35"
HOLD, NOTICE = "data/libxlpy/hold", "control/libxlpy/migrate"


@pytest.fixture
def network() -> Iterator[socket.socket]:
    """A bridge, and a socket that sees what goes out by a port of it."""
    with world() as seen:
        yield seen


def test_a_bridge_learns_where_the_guest_is(make_guest, network: socket.socket) -> None:
    guest = make_guest("pvh", f'vif=["mac={MAC},bridge={BRIDGE},ip={ADDRESS}"]')
    connect_interface(guest)
    with moved(guest):
        migrate(guest, OURS, OURS)
    wanted = {ETH_ARP, ETH_RARP}
    while wanted:
        frame = network.recv(2048)
        if frame[6:12] == bytes.fromhex(MAC.replace(":", "")):
            wanted.discard(frame[12:14])
            if frame[12:14] == ETH_ARP:
                assert frame[28:32] == socket.inet_aton(ADDRESS)
    port = f"vif{domid_of(guest)}.0"
    assert port in ok("ip", "link", "show", "master", BRIDGE)
    learned = ok("bridge", "fdb", "show", "br", BRIDGE).splitlines()
    assert [line for line in learned if line.startswith(f"{MAC} dev {port}")]


def test_a_guest_is_told_and_waited_for(make_guest, tmp_path: Path) -> None:
    """As if it was the guest that wrote: the rig's has no xenstore client."""
    guest = make_guest("pvh")
    home = f"/local/domain/{domid_of(guest)}"
    ok("xenstore-write", f"{home}/{HOLD}", "1")
    with (
        moved(guest),
        Following("migrate", "-s", SSH, guest.name, TARGET) as ours,
    ):
        ours.until_phase("hold")
        assert ok("xenstore-read", f"{home}/{NOTICE}").strip() == "soon"
        assert guest.running()
        ok("xenstore-write", f"{home}/{HOLD}", "0")
        ours.success()
