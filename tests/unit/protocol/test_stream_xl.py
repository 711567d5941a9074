"""The header of xl save."""

import struct

import pytest

from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.stream.formats import (
    XL_BYTEORDER,
    XL_CONFIG_MAX,
    XL_HEADER_SIZE,
    XL_MAGIC,
    XlFlags,
    XlHeader,
    pack_xl_config,
    pack_xl_header,
    unpack_xl_config,
    unpack_xl_header,
)


def header(
    magic: bytes = XL_MAGIC,
    byteorder: int = XL_BYTEORDER,
    mandatory: int = 3,
    optional: int = 0,
    length: int = 0,
) -> bytes:
    return struct.pack("<32sIIII", magic, byteorder, mandatory, optional, length)


def test_magic_is_32_bytes_as_in_xl() -> None:
    assert len(XL_MAGIC) == 32
    assert XL_MAGIC == b"Xen saved domain, xl format\n \x00 \r"
    assert XL_HEADER_SIZE == 48


def test_round_trip() -> None:
    assert pack_xl_header(XlHeader(9)) == header(length=9)
    for sample in (
        XlHeader(),
        XlHeader(4 + XL_CONFIG_MAX, XlFlags(0), 2**32 - 1),
        XlHeader(0, XlFlags.JSON),
        XlHeader(0, XlFlags.STREAM_V2),
    ):
        assert unpack_xl_header(pack_xl_header(sample)) == sample


BAD = {
    "47 bytes": header()[:-1],
    "49 bytes": header() + b"\0",
    "wrong magic": header(magic=b"Xen saved domain, xl format\n \0 \n"),
    "other byte order": header(byteorder=0x04030201),
    "wrong byte order": header(byteorder=0x01020305),
    "mandatory flags 0x7": header(mandatory=7),
    "mandatory flags 0x80000000": header(mandatory=1 << 31),
    "of optional data": header(length=4 + XL_CONFIG_MAX + 1),
}


@pytest.mark.parametrize("text", BAD)
def test_bad_header(text: str) -> None:
    with pytest.raises(StreamFormatError, match=f"xl header: .*{text}"):
        unpack_xl_header(BAD[text])


def test_we_write_no_bad_header() -> None:
    for bad in (XlHeader(-1), XlHeader(2**32), XlHeader(0, XlFlags.JSON, -1)):
        with pytest.raises(StreamFormatError, match="no u32"):
            pack_xl_header(bad)


def test_config() -> None:
    assert unpack_xl_config(b"") is None
    assert pack_xl_config(b"{}\0") == b"\3\0\0\0{}\0"
    assert unpack_xl_config(b"\3\0\0\0{}\0") == b"{}\0"
    assert unpack_xl_config(pack_xl_config(b"")) == b""
    with pytest.raises(
        StreamFormatError, match="xl config: 1048577 bytes, more than 1048576"
    ):
        pack_xl_config(bytes(XL_CONFIG_MAX + 1))


@pytest.mark.parametrize("bad", [b"\0", b"\0\0\0", b"\1\0\0\0", b"\0\0\0\0x"])
def test_bad_config(bad: bytes) -> None:
    with pytest.raises(StreamFormatError, match="xl config"):
        unpack_xl_config(bad)
