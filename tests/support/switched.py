"""A guest's MAC moves to another host: who gets its frames, before and after we say so.

``python switched.py SOCKET DOMID [SECONDS]``, in a network namespace with a /sys::

    client -- sw0 -- old      the host that the guest has left
               |
              host0 -- vif    the bridge here, and the guest

With SECONDS the guest's driver is connected so long after we have begun; with -1 the
guest is paused.

Prints a JSON object: what has come where.
"""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from libxlpy.backend import Backend
from libxlpy.deadlines import DEFAULT_DEADLINES
from libxlpy.migration.announce import Announcement
from libxlpy.process.environment import Environment, HypercallHelpers

MAC = bytes.fromhex("00163e00beef")
CLIENT = bytes.fromhex("00163e0c11e1")
OURS = b"\x88\xb5"  # EtherType for experiments
PAIRS = [("client", "sw-client"), ("old", "sw-old"), ("uplink", "sw-uplink")]
#: Seconds in which a frame arrives that arrives at all: nothing is between.
SOON = 0.3
ETH_P_ALL = 3
NEVER = -1.0


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


def build(vif: str) -> None:
    for name in ("sw0", "host0"):
        ip(f"link add name {name} type bridge forward_delay 0")
    for ours, theirs in [*PAIRS, ("guest", vif)]:
        ip(f"link add name {ours} type veth peer name {theirs}")
    for name in ("sw-client", "sw-old", "sw-uplink"):
        ip(f"link set dev {name} master sw0")
    for name in ("uplink", vif):
        ip(f"link set dev {name} master host0")
    names = [name for pair in PAIRS for name in pair]
    for name in [*names, "guest", vif, "sw0", "host0"]:
        ip(f"link set dev {name} addrgenmode none up")  # and says nothing by itself


class Tap:
    """All that comes by a device."""

    def __init__(self, device: str) -> None:
        self.sock = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)
        )
        self.sock.bind((device, 0))
        self.sock.settimeout(SOON)

    def taken(self) -> list[bytes]:
        """Give the frames that came in, until none comes any more."""
        frames = []
        try:
            while True:
                frame, (_, _, kind, *_) = self.sock.recvfrom(2048)
                if kind != socket.PACKET_OUTGOING:
                    frames.append(frame)
        except TimeoutError:
            return frames


def arrives(taps: dict[str, Tap], text: bytes) -> list[str]:
    """Have the client send to the guest; give where that arrives."""
    taps["client"].sock.send((MAC + CLIENT + OURS + text).ljust(60, b"\0"))
    return [
        name for name, tap in taps.items() if any(text in each for each in tap.taken())
    ]


async def announce(socket_path: Path, domid: int, connected: float | None) -> list[str]:
    backend = Backend("simxen", Path("/"), socket_path, Path("/"), Path("/"))
    announcement = Announcement()
    env = Environment(backend, DEFAULT_DEADLINES, HypercallHelpers())
    announcement.begin(env, domid, runs=connected != NEVER)
    if connected not in (None, NEVER):
        await asyncio.sleep(connected)
        ip("link set dev guest up")
    return await announcement.end()


def main() -> None:
    socket_path, domid = Path(sys.argv[1]), int(sys.argv[2])
    build(f"vif{domid}.0")
    taps = {name: Tap(name) for name in ("client", "old", "guest")}
    taps["old"].sock.send((b"\xff" * 6 + MAC + OURS + b"I am").ljust(60, b"\0"))
    told: dict[str, Any] = {"heard": [b"I am" in taps["guest"].taken()[0]]}
    told["before"] = arrives(taps, b"to the guest: 1")
    connected = float(sys.argv[3]) if len(sys.argv) > 3 else None
    if connected is not None:
        ip("link set dev guest down")  # its peer has no carrier
        assert taps["guest"].sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    told["remarks"] = asyncio.run(announce(socket_path, domid, connected))
    told["frames"] = [frame.hex() for frame in taps["client"].taken()]
    for tap in taps.values():
        tap.taken()
    told["after"] = arrives(taps, b"to the guest: 2")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
