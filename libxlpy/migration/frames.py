"""Frames by which switches and neighbours learn where a station is now; no I/O.

RARP, as qemu sends it, says nothing of addresses: it is for switches. For neighbours a
gratuitous ARP, RFC 5227 section 3, or an unsolicited advertisement, RFC 4861 section
7.2.6.

QEMU: net/announce.c, announce_self_create().
"""

import struct
from ipaddress import IPv4Address, IPv6Address

BROADCAST = b"\xff" * 6
#: Shortest frame of Ethernet without its checksum.
FRAME_MIN = 60
ETH_IPV4, ETH_ARP, ETH_RARP, ETH_IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
HARDWARE_ETHERNET = 1
ARP_REQUEST, RARP_REQUEST = 1, 3
NO_MAC, NO_ADDRESS = bytes(6), bytes(4)
ALL_NODES = IPv6Address("ff02::1").packed
ALL_NODES_MAC = b"\x33\x33\x00\x00\x00\x01"
ICMPV6, ADVERTISEMENT, TARGET_MAC = 58, 136, 2
#: What neighbours have is to be replaced.
OVERRIDE = 1 << 29
#: Not from beyond a router.
HOPS = 255


def frames_of(
    mac: bytes, addresses: tuple[IPv4Address | IPv6Address, ...]
) -> list[bytes]:
    """Give the frames that announce a station with its addresses."""
    frames = [rarp(mac)]
    for address in addresses:
        if isinstance(address, IPv4Address):
            frames.append(arp(mac, address))
        else:
            frames.append(advertisement(mac, address))
    return frames


def rarp(mac: bytes) -> bytes:
    """Give the frame that asks for nothing, and shows where a station is."""
    body = _arp(RARP_REQUEST, mac, NO_ADDRESS, mac, NO_ADDRESS)
    return _frame(BROADCAST, mac, ETH_RARP, body)


def arp(mac: bytes, address: IPv4Address) -> bytes:
    """Give the announcement of an IPv4 address."""
    body = _arp(ARP_REQUEST, mac, address.packed, NO_MAC, address.packed)
    return _frame(BROADCAST, mac, ETH_ARP, body)


def advertisement(mac: bytes, address: IPv6Address) -> bytes:
    """Give the unsolicited advertisement of an IPv6 address."""
    head = struct.pack("!BBHI", ADVERTISEMENT, 0, 0, OVERRIDE)
    body = head + address.packed + struct.pack("!BB", TARGET_MAC, 1) + mac
    pseudo = address.packed + ALL_NODES + struct.pack("!II", len(body), ICMPV6)
    check = struct.pack("!H", checksum(pseudo + body))
    body = body[:2] + check + body[4:]
    ip = struct.pack("!IHBB", 6 << 28, len(body), ICMPV6, HOPS)
    packet = ip + address.packed + ALL_NODES + body
    return _frame(ALL_NODES_MAC, mac, ETH_IPV6, packet)


def checksum(data: bytes) -> int:
    """Give the internet checksum of data of even length, RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _arp(
    operation: int, sender: bytes, sender_ip: bytes, target: bytes, target_ip: bytes
) -> bytes:
    head = struct.pack("!HHBBH", HARDWARE_ETHERNET, ETH_IPV4, 6, 4, operation)
    return head + sender + sender_ip + target + target_ip


def _frame(to: bytes, sender: bytes, kind: int, body: bytes) -> bytes:
    return (to + sender + struct.pack("!H", kind) + body).ljust(FRAME_MIN, b"\0")
