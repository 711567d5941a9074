"""A line from a guest to the world, without a guest: what is sent, and what arrives.

    guest (namespace) = vif -> bridge -> port = world (namespace)

Frames are numbered, and of three protocols in turn. They are made by hand, so that
none is sent but those.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from .support import ok, run

CLONE_NEWNET = 0x40000000
VIF, PORT, BRIDGE = "xvif", "xport", "xbridge"
GUEST, WORLD = "xguest", "xworld"

SENDER = bytes.fromhex("0200786c7079")
ALL = b"\xff" * 6
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
ETH_P_ALL = 3


def frame(number: int) -> bytes:
    """Give one of IPv4, IPv6 and ARP, with its number in it."""
    marked = struct.pack("!I", number)
    udp = struct.pack("!4H", 9, 9, 12, 0) + marked
    match number % 3:
        case 0:
            kind, body = IPV4, struct.pack("!BxHxxxxBB", 0x45, 32, 64, 17) + bytes(10)
            body += udp
        case 1:
            body = struct.pack("!IHBB", 6 << 28, 12, 17, 64) + bytes(32) + udp
            kind = IPV6
        case _:
            body = struct.pack("!HHBBH", 1, IPV4, 6, 4, 1) + SENDER + bytes(10) + marked
            kind = ARP
    return ALL + SENDER + struct.pack("!H", kind) + body


def number_of(data: bytes) -> int | None:
    """Give the number of a whole frame of ours; None for others'."""
    if data[6:12] != SENDER:
        return None
    [number] = struct.unpack("!I", data[-4:])
    assert data == frame(number)
    return int(number)


class Line:
    """Both ends of it."""

    def __init__(self) -> None:
        self._out = _socket(GUEST, "eth0")
        self._into = _socket(WORLD, "eth0")
        self._into.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
        self._numbers = count()
        #: Numbers of all that arrived, as they came.
        self.arrived: list[int] = []
        self._first = 0
        self._warm_up()

    def _warm_up(self) -> None:
        """Wait until frames pass: the kernel takes its time after a link is up."""
        self._into.settimeout(0.5)
        for _ in range(60):
            self.send(1)
            with suppress(TimeoutError):
                self._take()
            if self.arrived:
                break
        self._first = next(self._numbers)
        self.arrived.clear()

    def close(self) -> None:
        self._out.close()
        self._into.close()

    def send(self, how_many: int) -> list[int]:
        """Send some; give their numbers."""
        numbers = [next(self._numbers) for _ in range(how_many)]
        for number in numbers:
            self._out.send(frame(number))
        return numbers

    def look(self) -> list[int]:
        """Give all that has arrived until now."""
        self._into.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self._take()
        return self.arrived

    def wait(self, how_many: int) -> list[int]:
        """Wait until so many have arrived in all; give them."""
        self._into.settimeout(30.0)
        while len(self.arrived) < how_many:
            self._take()
        return self.look()

    def _take(self) -> None:
        number = number_of(self._into.recv(2048))
        if number is not None and number >= self._first:
            self.arrived.append(number)


def _socket(namespace: str, name: str) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    try:
        assert libc.setns(there, CLONE_NEWNET) == 0
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        made.bind((name, ETH_P_ALL))
        return made
    finally:
        assert libc.setns(here, CLONE_NEWNET) == 0
        os.close(here)
        os.close(there)


@contextmanager
def line() -> Iterator[Line]:
    """Lay it."""
    try:
        ok("ip", "link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0")
        _quiet(BRIDGE)
        for name, namespace in ((VIF, GUEST), (PORT, WORLD)):
            ok("ip", "netns", "add", namespace)
            peer = ("peer", "name", "eth0", "netns", namespace)
            ok("ip", "link", "add", name, "type", "veth", *peer)
            within = ("ip", "netns", "exec", namespace)
            ok(*within, "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
            ok(*within, "ip", "link", "set", "eth0", "up")
            _quiet(name)
            ok("ip", "link", "set", name, "master", BRIDGE, "up")
        ok("ip", "link", "set", BRIDGE, "up")
        laid = Line()
        try:
            yield laid
        finally:
            laid.close()
    finally:
        for name in (VIF, PORT, BRIDGE):
            run("ip", "link", "del", name)
        for namespace in (GUEST, WORLD):
            run("ip", "netns", "del", namespace)


def _quiet(name: str) -> None:
    """Have the kernel send nothing of its own there."""
    ok("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
