"""xenstore packets and stream headers: any bytes, their own error or nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libxlpy_protocol.errors import StreamFormatError, XenstoreWireError
from libxlpy_protocol.stream import formats as sf
from libxlpy_protocol.xenstore_wire import (
    PAYLOAD_MAX,
    Packet,
    PacketBuffer,
    encode,
    join,
    split,
)
from tests.fuzz.strategies import cuts, damaged

U32 = st.integers(0, 2**32 - 1)
PACKETS = st.builds(Packet, st.integers(0, 25) | U32, U32, U32, st.binary(max_size=60))
HEADS = st.builds(
    lambda size, rest: bytes(12) + size.to_bytes(4, "little") + rest,
    U32 | st.sampled_from([PAYLOAD_MAX, PAYLOAD_MAX + 1]),
    st.binary(max_size=10),
)
STREAMS = st.lists(
    PACKETS.map(encode) | HEADS | st.binary(max_size=20), max_size=5
).map(b"".join)


def outcome(pieces: list[bytes]) -> tuple[list[Packet], str, bool]:
    buffer = PacketBuffer()
    packets: list[Packet] = []
    try:
        for piece in pieces:
            buffer.feed(piece)
            while packet := buffer.next_packet():
                packets.append(packet)
    except XenstoreWireError as exc:
        return packets, str(exc), buffer.partial
    return packets, "", buffer.partial


@given(data=STREAMS, places=st.lists(st.integers(0, 10000), max_size=8))
def test_xenstore_bytes_cut_anywhere(data: bytes, places: list[int]) -> None:
    whole = outcome([data])
    assert outcome([data[at : at + 1] for at in range(len(data))]) == whole
    assert outcome(cuts(data, places)) == whole


@given(packets=st.lists(PACKETS, max_size=5))
def test_xenstore_packets_survive_the_wire(packets: list[Packet]) -> None:
    assert outcome([b"".join(map(encode, packets))]) == (packets, "", False)


@given(strings=st.lists(st.binary(max_size=9).filter(lambda s: b"\0" not in s)))
def test_xenstore_strings_survive(strings: list[bytes]) -> None:
    assert split(join(strings)) == strings


Case = tuple[Callable[[bytes], Any], Callable[[Any], bytes], bytes]

#: Reader, writer, and one good input of each part of a saved domain.
PARTS: dict[str, Case] = {
    "xl header": (
        sf.unpack_xl_header,
        sf.pack_xl_header,
        sf.pack_xl_header(sf.XlHeader(7)),
    ),
    "xl config": (
        sf.unpack_xl_config,
        lambda config: b"" if config is None else sf.pack_xl_config(config),
        sf.pack_xl_config(b"{}\0"),
    ),
    "libxl header": (
        sf.unpack_libxl_header,
        lambda header: sf.pack_libxl_header()[:12] + int(header.options).to_bytes(4),
        sf.pack_libxl_header(),
    ),
    "libxl record": (
        sf.unpack_libxl_record,
        sf.pack_record_header,
        sf.pack_record_header(sf.RecordHeader(3, 500)),
    ),
    "emulator": (
        sf.unpack_emulator_header,
        sf.pack_emulator_header,
        sf.pack_emulator_header(sf.EmulatorHeader()),
    ),
    "xenstore data": (
        sf.unpack_xenstore_data,
        sf.pack_xenstore_data,
        sf.pack_xenstore_data([(b"a", b"b"), (b"c", b"")]),
    ),
    "libxc image": (
        sf.unpack_image_header,
        lambda header: (
            sf.pack_image_header()[:12] + header.version.to_bytes(4) + bytes(8)
        ),
        sf.pack_image_header(),
    ),
    "libxc domain": (
        sf.unpack_domain_header,
        sf.pack_domain_header,
        sf.pack_domain_header(sf.DomainHeader(sf.DomainType.X86_PV, 4, 20)),
    ),
    "libxc record": (
        sf.unpack_libxc_record,
        sf.pack_record_header,
        sf.pack_record_header(sf.RecordHeader(1, 16)),
    ),
    "page data": (
        sf.unpack_page_data_header,
        sf.pack_page_data_header,
        sf.pack_page_data_header(1024),
    ),
    "page entry": (
        lambda data: sf.unpack_page_entry(int.from_bytes(data, "little")),
        lambda entry: sf.pack_page_entry(*entry).to_bytes(8, "little"),
        sf.pack_page_entry(sf.PageType.L1TAB, 77).to_bytes(8, "little"),
    ),
}


@pytest.mark.parametrize("name", PARTS)
@given(data=st.data())
def test_stream_parts(name: str, data: st.DataObject) -> None:
    """What a reader takes, the writer writes again; the rest is one clear error."""
    unpack, pack, good = PARTS[name]
    damage = damaged(good) | st.binary(min_size=len(good), max_size=len(good))
    bad = data.draw(st.just(good) | damage | st.binary(max_size=60))
    try:
        value = unpack(bad)
    except StreamFormatError:
        refused = True
    else:
        refused = False
        assert pack(value)[: len(bad)].ljust(len(bad), b"\0") == bad
    assert not (refused and bad == good)
