"""The libxl stream, version 2."""

import struct

import pytest

from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.stream.formats import (
    EMULATOR_QEMU,
    LIBXL_HEADER_SIZE,
    RECORD_HEADER_SIZE,
    EmulatorHeader,
    LibxlHeader,
    LibxlOptions,
    LibxlRecord,
    RecordHeader,
    libxl_record_name,
    pack_emulator_header,
    pack_libxl_header,
    pack_libxl_record,
    pack_record_header,
    pack_xenstore_data,
    padding,
    unpack_emulator_header,
    unpack_libxl_header,
    unpack_libxl_record,
    unpack_record_header,
    unpack_xenstore_data,
)

MAX = 128 << 20


def header(ident: bytes = b"LibxlFmt", version: int = 2, options: int = 0) -> bytes:
    return struct.pack(">8sII", ident, version, options)


def test_header() -> None:
    assert LIBXL_HEADER_SIZE == 16
    assert pack_libxl_header() == header()
    assert unpack_libxl_header(header()) == LibxlHeader()
    assert unpack_libxl_header(header(options=2)).options is LibxlOptions.LEGACY


BAD = {
    "15 bytes": header()[:-1],
    "wrong ident": header(ident=b"LibxlFmu"),
    "version 1": header(version=1),
    "version 3": header(version=3),
    "big-endian": header(options=1),
    "unknown options 0x4": header(options=4),
    "unknown options 0x80000002": header(options=1 << 31 | 2),
}


@pytest.mark.parametrize("text", BAD)
def test_bad_header(text: str) -> None:
    with pytest.raises(StreamFormatError, match=f"libxl header: .*{text}"):
        unpack_libxl_header(BAD[text])


def test_padding() -> None:
    assert [padding(length) for length in range(9)] == [0, 7, 6, 5, 4, 3, 2, 1, 0]


LENGTHS = {
    0: (0, 0),
    1: (0, 0),
    2: (8, MAX),
    3: (8, MAX),
    4: (0, 0),
    5: (4, 8),
}


@pytest.mark.parametrize("kind", LibxlRecord)
def test_record_lengths(kind: LibxlRecord) -> None:
    low, high = LENGTHS[kind]
    for length in (0, 1, 4, 7, 8, 9, MAX, MAX + 1, 2**32 - 1):
        data = struct.pack("<II", kind, length)
        if low <= length <= high:
            assert unpack_libxl_record(data) == RecordHeader(kind, length)
        else:
            with pytest.raises(StreamFormatError, match=f"body of {length} bytes"):
                unpack_libxl_record(data)


def test_record_types() -> None:
    with pytest.raises(StreamFormatError, match="unknown type 0x6"):
        unpack_libxl_record(struct.pack("<II", 6, 0))
    with pytest.raises(StreamFormatError, match="unknown type 0x7fffffff"):
        unpack_libxl_record(struct.pack("<II", 0x7FFFFFFF, 0))
    optional = unpack_libxl_record(struct.pack("<II", 0x80000000, 3))
    assert optional == RecordHeader(0x80000000, 3)
    assert libxl_record_name(3) == "EMULATOR_CONTEXT"
    assert libxl_record_name(6) == "type 0x6"


def test_whole_record_is_padded() -> None:
    assert pack_libxl_record(LibxlRecord.END) == bytes(8)
    data = pack_libxl_record(LibxlRecord.EMULATOR_CONTEXT, b"123456789")
    assert data == struct.pack("<II", 3, 9) + b"123456789" + bytes(7)
    with pytest.raises(StreamFormatError, match="END: body of 1 bytes"):
        pack_libxl_record(LibxlRecord.END, b"x")


def test_record_header() -> None:
    assert RECORD_HEADER_SIZE == 8
    for sample in (RecordHeader(0, 0), RecordHeader(2**32 - 1, MAX)):
        assert unpack_record_header(pack_record_header(sample)) == sample
    for bad in (RecordHeader(-1, 0), RecordHeader(2**32, 0)):
        with pytest.raises(StreamFormatError, match="no u32"):
            pack_record_header(bad)
    for bad in (RecordHeader(0, -1), RecordHeader(0, MAX + 1)):
        with pytest.raises(StreamFormatError, match="body of"):
            pack_record_header(bad)
    with pytest.raises(StreamFormatError, match="record header: 7 bytes, not 8"):
        unpack_record_header(bytes(7))


def test_emulator_header() -> None:
    assert EmulatorHeader() == EmulatorHeader(EMULATOR_QEMU, 0)
    assert pack_emulator_header(EmulatorHeader()) == struct.pack("<II", 2, 0)
    assert unpack_emulator_header(struct.pack("<II", 1, 0)) == EmulatorHeader(1, 0)
    for text, bad in (
        ("7 bytes", bytes(7)),
        ("unknown emulator 3", struct.pack("<II", 3, 0)),
        ("index 1", struct.pack("<II", 2, 1)),
    ):
        with pytest.raises(StreamFormatError, match=text):
            unpack_emulator_header(bad)
    for wrong in (EmulatorHeader(-1), EmulatorHeader(2, 2**32)):
        with pytest.raises(StreamFormatError, match="no u32"):
            pack_emulator_header(wrong)


def test_xenstore_data() -> None:
    pairs = [(b"physmap/1/name", b"vram"), (b"empty", b"")]
    data = b"physmap/1/name\0vram\0empty\0\0"
    assert pack_xenstore_data(pairs) == data
    assert unpack_xenstore_data(data) == pairs
    assert pack_xenstore_data([]) == b""
    assert unpack_xenstore_data(b"") == []


@pytest.mark.parametrize("bad", [b"a", b"a\0", b"a\0b", b"a\0b\0c\0", b"\0b\0", b"\0"])
def test_bad_xenstore_data(bad: bytes) -> None:
    with pytest.raises(StreamFormatError, match="xenstore data"):
        unpack_xenstore_data(bad)


@pytest.mark.parametrize("bad", [(b"", b"x"), (b"a\0b", b"x"), (b"a", b"x\0")])
def test_bad_xenstore_pair(bad: tuple[bytes, bytes]) -> None:
    with pytest.raises(StreamFormatError, match="bad pair"):
        pack_xenstore_data([bad])
