"""The libxc image, version 3, and its pages."""

import struct

import pytest

from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.stream.formats import (
    DATA_PAGE_TYPES,
    LIBXC_DOMAIN_SIZE,
    LIBXC_IMAGE_SIZE,
    PAGE_DATA_HEADER_SIZE,
    PAGE_TYPE_NAMES,
    DomainHeader,
    DomainType,
    ImageHeader,
    LibxcRecord,
    PageType,
    RecordHeader,
    libxc_record_name,
    pack_domain_header,
    pack_image_header,
    pack_page_data_header,
    pack_page_entry,
    unpack_domain_header,
    unpack_image_header,
    unpack_libxc_record,
    unpack_page_data_header,
    unpack_page_entry,
)

MAX = 128 << 20


def image(
    marker: int = 2**64 - 1,
    ident: bytes = b"XENF",
    version: int = 3,
    options: int = 0,
    zero: int = 0,
    more: int = 0,
) -> bytes:
    return struct.pack(">Q4sIHHI", marker, ident, version, options, zero, more)


def test_image_header() -> None:
    assert LIBXC_IMAGE_SIZE == 24
    assert pack_image_header() == image()
    assert unpack_image_header(image()) == ImageHeader(3)
    assert unpack_image_header(image(version=2)) == ImageHeader(2)


BAD_IMAGES = {
    "23 bytes": image()[:-1],
    "wrong marker 0xf": image(marker=2**64 - 2),
    "or id 0x58454e47": image(ident=b"XENG"),
    "version 1": image(version=1),
    "version 4": image(version=4),
    "big-endian": image(options=1),
    "reserved bits are set": image(options=2),
    "reserved bits are": image(zero=1),
    "reserved bits": image(more=1),
}


@pytest.mark.parametrize("text", BAD_IMAGES)
def test_bad_image_header(text: str) -> None:
    with pytest.raises(StreamFormatError, match=f"libxc image header: .*{text}"):
        unpack_image_header(BAD_IMAGES[text])


def test_domain_header() -> None:
    assert LIBXC_DOMAIN_SIZE == 16
    sample = DomainHeader(DomainType.X86_HVM, 4, 20)
    assert pack_domain_header(sample) == struct.pack("<IHHII", 2, 12, 0, 4, 20)
    assert unpack_domain_header(pack_domain_header(sample)) == sample
    for bad in (
        DomainHeader(DomainType.X86_PV, -1, 0),
        DomainHeader(DomainType.X86_PV, 0, 2**32),
    ):
        with pytest.raises(StreamFormatError, match="no u32"):
            pack_domain_header(bad)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("15 bytes", bytes(15)),
        ("unknown type 0", struct.pack("<IHHII", 0, 12, 0, 4, 20)),
        ("unknown type 3", struct.pack("<IHHII", 3, 12, 0, 4, 20)),
        ("page shift 13", struct.pack("<IHHII", 1, 13, 0, 4, 20)),
        ("reserved bits", struct.pack("<IHHII", 1, 12, 1, 4, 20)),
    ],
)
def test_bad_domain_header(text: str, data: bytes) -> None:
    with pytest.raises(StreamFormatError, match=f"libxc domain header: .*{text}"):
        unpack_domain_header(data)


#: Lengths that each type may have, and lengths that it may not.
RECORDS: dict[int, tuple[list[int], list[int]]] = {
    0x00: ([0], [1, 8]),
    0x01: ([16, 24, 16 + 4096, MAX], [0, 8, 15, 17, MAX + 8]),
    0x02: ([8], [0, 7, 9]),
    0x03: ([16, 24], [0, 8, 20]),
    0x04: ([8, 9, 4096], [0, 7]),
    0x05: ([8, 136], [7, 137]),
    0x06: ([8, 24], [0]),
    0x07: ([4096], [0, 4095, 8192]),
    0x08: ([24], [0, 16, 32]),
    0x09: ([1, MAX], [0, MAX + 1]),
    0x0A: ([8, 24, 40], [0, 16, 23]),
    0x0B: ([], [0, 8]),
    0x0C: ([8, 24], [0, 16]),
    0x0D: ([0], [1]),
    0x0E: ([0], [1]),
    0x0F: ([0, 8], [1, 12]),
    0x10: ([0], [1]),
    0x11: ([24, 48], [0, 23, 25]),
    0x12: ([0, 16], [1, 24]),
    0x13: ([], [0]),
    0x7FFFFFFF: ([], [0]),
    0x80000000: ([0, 1, MAX], [MAX + 1]),
    0xFFFFFFFF: ([7], [2**32 - 1]),
}


@pytest.mark.parametrize("kind", RECORDS, ids=hex)
def test_record_lengths(kind: int) -> None:
    good, bad = RECORDS[kind]
    for length in good:
        data = struct.pack("<II", kind, length)
        assert unpack_libxc_record(data) == RecordHeader(kind, length)
    for length in bad:
        with pytest.raises(StreamFormatError, match="record"):
            unpack_libxc_record(struct.pack("<II", kind, length))


def test_every_record_type_is_tested_and_named() -> None:
    assert set(LibxcRecord) <= set(RECORDS)
    assert libxc_record_name(0x0C) == "X86_PV_VCPU_MSRS"
    assert libxc_record_name(0x13) == "type 0x13"


def test_page_data_header() -> None:
    assert PAGE_DATA_HEADER_SIZE == 8
    most = (MAX - 8) // 8
    for count in (1, 1024, most):
        assert unpack_page_data_header(pack_page_data_header(count)) == count
    for count in (0, -1, most + 1):
        with pytest.raises(StreamFormatError, match="entries"):
            pack_page_data_header(count)
    for text, data in (
        ("7 bytes", bytes(7)),
        ("0 entries", bytes(8)),
        (f"{most + 1} entries", struct.pack("<II", most + 1, 0)),
        ("reserved", struct.pack("<II", 1, 1)),
    ):
        with pytest.raises(StreamFormatError, match=text):
            unpack_page_data_header(data)


@pytest.mark.parametrize("number", range(16))
def test_page_types(number: int) -> None:
    entry = number << 60 | 0xFEDCBA9876543
    if 5 <= number <= 8:
        with pytest.raises(StreamFormatError, match="illegal page type"):
            unpack_page_entry(entry)
        return
    kind, pfn = unpack_page_entry(entry)
    assert (kind, pfn) == (number, 0xFEDCBA9876543)
    assert pack_page_entry(kind, pfn) == entry
    assert PAGE_TYPE_NAMES[number] == kind.name
    assert (kind in DATA_PAGE_TYPES) is (number < 5 or 9 <= number <= 12)


@pytest.mark.parametrize("bit", range(52, 60))
def test_reserved_bits_of_an_entry(bit: int) -> None:
    with pytest.raises(StreamFormatError, match="reserved bits"):
        unpack_page_entry(1 << bit)
    with pytest.raises(StreamFormatError, match="pfn"):
        pack_page_entry(PageType.NOTAB, 1 << bit)


@pytest.mark.parametrize("entry", [-1, 2**64])
def test_entry_is_a_u64(entry: int) -> None:
    with pytest.raises(StreamFormatError, match="illegal page type"):
        unpack_page_entry(entry)
