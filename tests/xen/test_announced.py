"""What a real network and a real guest are told of a migration."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .following import Following
from .migrating import OURS, SSH, TARGET, migrate, moved
from .restoring import connect_interface, have_interfaces
from .support import PATIENCE, domid_of, ok

pytestmark = pytest.mark.xen

BRIDGE, PORT = "rigbr0", "rigport0"
MAC = "00:16:3e:01:02:04"
ADDRESS = "192.0.2.7"
ETH_ALL, ETH_ARP, ETH_RARP = 3, b"\x08\x06", b"\x80\x35"
HOLD, NOTICE = "data/libxlpy/hold", "control/libxlpy/migrate"


@pytest.fixture
def network() -> Iterator[socket.socket]:
    """A bridge, and a socket that sees what goes out by a port of it."""
    have_interfaces()
    ok("modprobe", "-a", "bridge", "dummy")
    ok("ip", "link", "add", BRIDGE, "type", "bridge")
    ok("ip", "link", "add", PORT, "type", "dummy")
    ok("ip", "link", "set", PORT, "master", BRIDGE)
    for name in (PORT, BRIDGE):
        ok("ip", "link", "set", name, "up")
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ALL))
    with closing(raw):
        raw.bind((PORT, 0))
        raw.settimeout(PATIENCE)
        yield raw
    for name in (PORT, BRIDGE):
        ok("ip", "link", "delete", name)


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
