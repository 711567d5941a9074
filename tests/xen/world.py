"""What the world sees of guests on a bridge: a port of it, and a socket there."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from .line import ETH_P_ALL, number_of
from .restoring import have_interfaces
from .support import PATIENCE, ok, wait_for

BRIDGE, PORT = "rigbr0", "rigport0"
#: What connects an interface; Xen's own vif-bridge takes too long where a processor is
#: emulated and busy, and libxl ends it then.
SCRIPT = f"""#!/bin/sh
[ "$1" = online ] || exit 0
ip link set "$vif" master {BRIDGE} up
exec xenstore-write "$XENBUS_PATH/hotplug-status" connected
"""


@contextmanager
def world() -> Iterator[socket.socket]:
    """Have a bridge, and give a socket that sees what goes out by a port of it."""
    have_interfaces()
    ok("modprobe", "-a", "bridge", "dummy")
    ok("ip", "link", "add", BRIDGE, "type", "bridge")
    ok("ip", "link", "add", PORT, "type", "dummy")
    ok("ip", "link", "set", PORT, "master", BRIDGE)
    for name in (PORT, BRIDGE):
        ok("ip", "link", "set", name, "up")
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with closing(raw):
        raw.bind((PORT, 0))
        raw.settimeout(PATIENCE)
        yield raw
    for name in (PORT, BRIDGE):
        ok("ip", "link", "delete", name)


class Log:
    """The numbers of all frames that were seen, as they came. A context manager."""

    def __init__(self, seen: socket.socket) -> None:
        self._socket = seen
        self._thread = threading.Thread(target=self._read)
        self._enough = False
        self.numbers: list[int] = []

    def __enter__(self) -> "Log":
        self._socket.settimeout(0.1)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough = True
        self._thread.join()

    def _read(self) -> None:
        while not self._enough:
            with suppress(TimeoutError):
                number = number_of(self._socket.recv(2048))
                if number is not None:
                    self.numbers.append(number)

    def wait(self, more: int) -> None:
        """Wait until so many more have come."""
        wanted = len(self.numbers) + more
        wait_for(f"{more} frames", lambda: len(self.numbers) >= wanted or None)
