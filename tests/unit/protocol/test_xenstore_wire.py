"""xenstore packets: the wire form, cut anywhere, bounded."""

import errno
import struct

import pytest

from libxlpy_protocol.errors import XenstoreWireError
from libxlpy_protocol.xenstore_wire import (
    ABS_PATH_MAX,
    ERRNO_OF,
    HEADER,
    NAME_OF,
    PAYLOAD_MAX,
    REL_PATH_MAX,
    Packet,
    PacketBuffer,
    XsType,
    encode,
    errno_of,
    join,
    name_of,
    split,
)

NUMBERS = """
CONTROL 0  DIRECTORY 1  READ 2  GET_PERMS 3  WATCH 4  UNWATCH 5  TRANSACTION_START 6
TRANSACTION_END 7  INTRODUCE 8  RELEASE 9  GET_DOMAIN_PATH 10  WRITE 11  MKDIR 12
RM 13  SET_PERMS 14  WATCH_EVENT 15  ERROR 16  IS_DOMAIN_INTRODUCED 17  RESUME 18
SET_TARGET 19  RESET_WATCHES 21  DIRECTORY_PART 22
"""


def test_types_have_xens_numbers() -> None:
    words = NUMBERS.split()
    names, numbers = words[::2], map(int, words[1::2])
    assert {kind.name: int(kind) for kind in XsType} == dict(
        zip(names, numbers, strict=True)
    )


def test_limits_are_xens() -> None:
    assert (PAYLOAD_MAX, ABS_PATH_MAX, REL_PATH_MAX) == (4096, 3072, 2048)
    assert HEADER.size == 16


def test_wire_form() -> None:
    packet = Packet(XsType.READ, 7, 9, b"/local\0")
    assert encode(packet) == struct.pack("<IIII", 2, 7, 9, 7) + b"/local\0"


def taken(buffer: PacketBuffer, data: bytes) -> list[Packet]:
    """Feed bytes; give the packets that are complete now."""
    buffer.feed(data)
    return list(iter(buffer.next_packet, None))


def test_packets_come_out_however_the_bytes_are_cut() -> None:
    packets = [
        Packet(XsType.WATCH_EVENT, 0, 0, b"@releaseDomain\0token\0"),
        Packet(XsType.DIRECTORY, 1, 2**32 - 1, b""),
        Packet(XsType.WRITE, 2**32 - 1, 0, b"x" * PAYLOAD_MAX),
    ]
    data = b"".join(map(encode, packets))
    for step in (1, 5, 16, 1000, len(data)):
        buffer = PacketBuffer()
        found = []
        for at in range(0, len(data), step):
            found += taken(buffer, data[at : at + step])
        assert found == packets
        assert all(type(packet.type) is XsType for packet in found)
        assert not buffer.partial


@pytest.mark.parametrize("number", [20, 23, 128, 2**32 - 1])
def test_unknown_type_is_handed_over_as_a_number(number: int) -> None:
    (packet,) = taken(PacketBuffer(), encode(Packet(number, 1, 0, b"x")))
    assert packet == Packet(number, 1, 0, b"x")
    assert type(packet.type) is int


def test_partial_packet() -> None:
    buffer = PacketBuffer()
    assert not buffer.partial
    assert taken(buffer, b"\0") == []
    assert buffer.partial


@pytest.mark.parametrize("size", [PAYLOAD_MAX + 1, 2**32 - 1])
def test_oversize_is_refused_from_the_header_alone(size: int) -> None:
    good = Packet(XsType.READ, 1, 0, b"/\0")
    buffer = PacketBuffer()
    buffer.feed(encode(good) + struct.pack("<IIII", 2, 2, 0, size))
    assert buffer.next_packet() == good
    for later in (b"", b"", encode(good)):
        with pytest.raises(XenstoreWireError, match=f"payload of {size} bytes"):
            taken(buffer, later)


def test_we_send_no_packet_that_breaks_the_rules() -> None:
    with pytest.raises(XenstoreWireError, match="payload of 4097 bytes"):
        encode(Packet(XsType.READ, 0, 0, bytes(PAYLOAD_MAX + 1)))
    for numbers in ((-1, 0, 0), (2**32, 0, 0), (0, 2**32, 0), (0, 0, -1)):
        with pytest.raises(XenstoreWireError, match="no u32"):
            encode(Packet(*numbers, b""))


def test_strings_of_a_payload() -> None:
    assert join([]) == b""
    assert join([b"a", b"", b"c"]) == b"a\0\0c\0"
    assert split(b"") == []
    assert split(b"a\0\0c\0") == [b"a", b"", b"c"]
    assert split(b"path\0value") == [b"path", b"value"]


def test_error_names() -> None:
    assert len(ERRNO_OF) == len(NAME_OF) == 16
    for name, number in ERRNO_OF.items():
        assert errno_of(name) == number == getattr(errno, name)
        assert name_of(number) == name
    assert errno_of("EQUUX") == errno.EINVAL
    assert name_of(errno.EDOM) == "EINVAL"
