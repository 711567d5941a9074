"""Have a bridge of this host, and what is behind it, know where a station is.

A frame that is sent on a bridge goes out by all its ports, so switches learn it; but
the bridge itself learns from what comes *in* by a port only, and nothing of ours can
come in by the guest's. It has heard the guest from its old host, by the port that leads
there, and as no frame goes out by the port it came from, what is meant for the guest
would be dropped until it speaks by itself. So the bridge is told, as if the guest had
spoken (NTF_USE: the entry may be overwritten, and ages).

All here blocks, for a moment: not for the thread of an event loop.

Linux: net/bridge/br_device.c, br_dev_xmit(); net/bridge/br_fdb.c, __br_fdb_add().
"""

import errno
import os
import socket
import struct
from pathlib import Path

from libxlpy.errors import BackendError, reason_of

DEVICES = Path("/sys/class/net")
#: Linux: include/uapi/linux/netlink.h, rtnetlink.h, neighbour.h.
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_CREATE = 0x1, 0x4, 0x100, 0x400
RTM_NEWNEIGH, NLMSG_ERROR = 28, 2
NDA_LLADDR, NUD_REACHABLE, NTF_USE, NTF_MASTER = 2, 0x2, 0x1, 0x4
AF_BRIDGE = 7
HEADER = struct.Struct("=IHHII")
#: struct ndmsg: family, ifindex, state, flags, type.
NEIGHBOUR = struct.Struct("=BxxxiHBB")
#: struct rtattr with a MAC, padded to four bytes.
LLADDR = struct.Struct("=HH6sxx")
ANSWER_MAX = 4096


def announce_at(devices: tuple[str, ...], mac: bytes, frames: list[bytes]) -> bool:
    """Have the bridge of a device learn a station there, and send its frames on.

    Args:
        devices: By which its frames may come; the first with a carrier is the one.
        mac: Of the station.
        frames: Whole ones.

    Returns:
        Whether the bridge has learned it; by a port without a carrier it does not, and
        the guest's has none until its driver is connected again.

    Raises:
        BackendError: It can't be done; says why.
    """
    port = _port(devices)
    bridge = _bridge_of(port)
    had_carrier = _has_carrier(port)
    try:
        _learn(port, mac)
        _send(bridge, frames)
    except OSError as exc:
        raise BackendError(f"{port} on bridge {bridge}: {reason_of(exc)}") from exc
    return had_carrier


def _port(devices: tuple[str, ...]) -> str:
    there = [name for name in devices if (DEVICES / name).exists()]
    if not there:
        raise BackendError(f"there is no device {devices[0]}")
    return next((name for name in there if _has_carrier(name)), there[0])


def _has_carrier(device: str) -> bool:
    try:
        return (DEVICES / device / "carrier").read_bytes().strip() == b"1"
    except OSError:
        return False  # it is down


def _bridge_of(port: str) -> str:
    """Give the bridge that a device is a port of.

    One of another kind would learn that the guest is where we send from.
    """
    try:
        bridge = (DEVICES / port / "master").readlink().name
    except OSError as exc:
        raise BackendError(f"{port} is on no bridge") from exc
    if not (DEVICES / bridge / "bridge").exists():
        raise BackendError(f"{port} is on {bridge}, which is no bridge of Linux")
    return bridge


def _learn(port: str, mac: bytes) -> None:
    """Have a bridge find a station at a port; a port that is down learns nothing."""
    flags = NTF_USE | NTF_MASTER
    body = NEIGHBOUR.pack(
        AF_BRIDGE, socket.if_nametoindex(port), NUD_REACHABLE, flags, 0
    ) + LLADDR.pack(LLADDR.size - 2, NDA_LLADDR, mac)
    wanted = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    size = HEADER.size + len(body)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as nl:
        nl.setblocking(False)  # the kernel has answered when send() returns
        nl.send(HEADER.pack(size, RTM_NEWNEIGH, wanted, 1, 0) + body)
        answer = nl.recv(ANSWER_MAX)
    _, kind, *_ = HEADER.unpack_from(answer)
    (error,) = struct.unpack_from("=i", answer, HEADER.size)
    if kind != NLMSG_ERROR:
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    if error:
        raise OSError(-error, os.strerror(-error))


def _send(device: str, frames: list[bytes]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packets:
        packets.setblocking(False)
        packets.bind((device, 0))
        for frame in frames:
            packets.send(frame)
