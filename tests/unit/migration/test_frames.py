"""Announcements are, byte for byte, what switches and neighbours take."""

from ipaddress import IPv4Address, IPv6Address

from libxlpy.migration.frames import (
    BROADCAST,
    FRAME_MIN,
    advertisement,
    arp,
    checksum,
    frames_of,
    rarp,
)

MAC = bytes.fromhex("00163e00beef")
V4, V6 = IPv4Address("192.0.2.7"), IPv6Address("fe80::1")


def test_rarp_is_that_of_qemu():
    # QEMU: net/announce.c, announce_self_create()
    wanted = BROADCAST + MAC + bytes.fromhex("8035 0001 0800 06 04 0003")
    wanted += MAC + bytes(4) + MAC + bytes(4)
    assert rarp(MAC) == wanted.ljust(FRAME_MIN, b"\0")


def test_arp_asks_for_the_address_that_it_comes_from():
    wanted = BROADCAST + MAC + bytes.fromhex("0806 0001 0800 06 04 0001")
    wanted += MAC + V4.packed + bytes(6) + V4.packed
    assert arp(MAC, V4) == wanted.ljust(FRAME_MIN, b"\0")


def test_advertisement_overrides_and_has_a_good_checksum():
    frame = advertisement(MAC, V6)
    assert frame[:14] == bytes.fromhex("333300000001") + MAC + b"\x86\xdd"
    ip, body = frame[14:54], frame[54:]
    assert ip[4:8] == bytes([0, 32, 58, 255])
    assert ip[8:24] == V6.packed
    assert ip[24:40] == IPv6Address("ff02::1").packed
    assert body[:2] == bytes([136, 0])
    assert body[4:8] == bytes.fromhex("20000000")
    assert body[8:] == V6.packed + bytes([2, 1]) + MAC
    # RFC 1071: over all that it covers, itself included, it is 0
    assert checksum(ip[8:40] + bytes([0, 0, 0, 32, 0, 0, 0, 58]) + body) == 0


def test_each_address_has_a_frame():
    assert frames_of(MAC, ()) == [rarp(MAC)]
    assert frames_of(MAC, (V4, V6)) == [rarp(MAC), arp(MAC, V4), advertisement(MAC, V6)]
