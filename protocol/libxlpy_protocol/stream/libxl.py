"""The libxl migration stream, version 2: header and records.

::

    header (big-endian):  u64 ident  u32 version  u32 options
    record:               u32 type   u32 length   body   zeros up to 8 bytes

Xen: docs/specs/libxl-migration-stream.pandoc.
"""

from __future__ import annotations

import enum
import struct

from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

__all__ = [
    "CHECKPOINT_STATE_NAMES",
    "EMULATOR_NAMES",
    "EMULATOR_QEMU",
    "LIBXL_HEADER_SIZE",
    "LIBXL_IDENT",
    "LIBXL_VERSION",
    "OPTIONAL_RECORD",
    "RECORD_HEADER_SIZE",
    "REC_LENGTH_MAX",
    "XENSTORE_DATA_MAX",
    "XENSTORE_KEY_MAX",
    "XENSTORE_VALUE_MAX",
    "EmulatorHeader",
    "LibxlHeader",
    "LibxlOptions",
    "LibxlRecord",
    "RecordHeader",
    "is_xenstore_key",
    "libxl_record_name",
    "pack_emulator_header",
    "pack_libxl_header",
    "pack_libxl_record",
    "pack_record_header",
    "pack_xenstore_data",
    "padding",
    "unpack_emulator_header",
    "unpack_libxl_header",
    "unpack_libxl_record",
    "unpack_record_header",
    "unpack_xenstore_data",
]

LIBXL_IDENT: Final = 0x4C6962786C466D74  # "LibxlFmt"
LIBXL_VERSION: Final = 2
REC_LENGTH_MAX: Final = 128 * 1024 * 1024  # bytes of one record's body
OPTIONAL_RECORD: Final = 0x80000000  # from here on readers may skip what is unknown
EMULATOR_QEMU: Final = 2
#: Bytes of EMULATOR_XENSTORE_DATA, as one message to the parent takes; of a key and a
#: value in it. These limits are ours, real ones are far below.
XENSTORE_DATA_MAX: Final = 1024 * 1024
XENSTORE_KEY_MAX: Final = 256
XENSTORE_VALUE_MAX: Final = 2048

_HEADER: Final = struct.Struct(">QII")
_RECORD: Final = struct.Struct("<II")
LIBXL_HEADER_SIZE: Final = _HEADER.size
RECORD_HEADER_SIZE: Final = _RECORD.size

_KEY_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@-"

_U32_MAX: Final = (1 << 32) - 1

#: Emulators by id; index is always 0.
EMULATOR_NAMES: Final = {0: "unknown", 1: "qemu-traditional", 2: "qemu"}

#: COLO's states by id.
CHECKPOINT_STATE_NAMES: Final = {
    0: "NEW",
    1: "SVM_SUSPENDED",
    2: "SVM_READY",
    3: "SVM_RESUMED",
}


class LibxlOptions(enum.IntFlag):
    """Options of the header."""

    BIG_ENDIAN = 1
    #: Made from a stream of Xen before 4.6.
    LEGACY = 2


NO_OPTIONS: Final = LibxlOptions(0)


class LibxlRecord(enum.IntEnum):
    """Types of records."""

    END = 0
    #: The libxc image follows, outside of any length.
    LIBXC_CONTEXT = 1
    EMULATOR_XENSTORE_DATA = 2
    EMULATOR_CONTEXT = 3
    CHECKPOINT_END = 4
    CHECKPOINT_STATE = 5


_NAMES: Final = {int(kind): kind.name for kind in LibxlRecord}

#: Shortest and longest body of each type, in bytes.
_LENGTHS: Final[dict[int, tuple[int, int]]] = {
    LibxlRecord.END: (0, 0),
    LibxlRecord.LIBXC_CONTEXT: (0, 0),
    LibxlRecord.EMULATOR_XENSTORE_DATA: (8, REC_LENGTH_MAX),
    LibxlRecord.EMULATOR_CONTEXT: (8, REC_LENGTH_MAX),
    LibxlRecord.CHECKPOINT_END: (0, 0),
    LibxlRecord.CHECKPOINT_STATE: (4, 8),  # libxl writes 4, the specification draws 8
}


class LibxlHeader(Value):
    """The first 16 bytes."""

    options: LibxlOptions = NO_OPTIONS


class RecordHeader(Value):
    """The first 8 bytes of a record, of libxl and of libxc; ``length`` in bytes."""

    type: int
    length: int


class EmulatorHeader(Value):
    """The first 8 bytes of the body of both EMULATOR records."""

    emulator_id: int = EMULATOR_QEMU
    index: int = 0


def padding(length: int) -> int:
    """Return how many zeros follow a body of ``length`` bytes."""
    return -length % 8


def libxl_record_name(number: int) -> str:
    """Return a record type's name, for messages."""
    return _NAMES.get(number, f"type {number:#x}")


def pack_libxl_header() -> bytes:
    """Return the 16 bytes of a little-endian stream."""
    return _HEADER.pack(LIBXL_IDENT, LIBXL_VERSION, 0)


def unpack_libxl_header(data: bytes) -> LibxlHeader:
    """Read the 16 bytes.

    Raises:
        StreamFormatError: Wrong size, ident or version; an unknown option; big-endian.
    """
    if len(data) != _HEADER.size:
        raise StreamFormatError(f"libxl header: {len(data)} bytes, not {_HEADER.size}")
    ident, version, options = _HEADER.unpack(data)
    if ident != LIBXL_IDENT:
        raise StreamFormatError(f"libxl header: wrong ident {ident:#018x}")
    if version != LIBXL_VERSION:
        raise StreamFormatError(f"libxl header: version {version}, not {LIBXL_VERSION}")
    if options & LibxlOptions.BIG_ENDIAN:
        raise StreamFormatError("libxl header: big-endian stream")
    if options & ~sum(LibxlOptions):
        raise StreamFormatError(f"libxl header: unknown options {options:#x}")
    return LibxlHeader(LibxlOptions(options))


def pack_record_header(header: RecordHeader) -> bytes:
    """Return the 8 bytes of a record's header, of libxl and of libxc alike.

    Raises:
        StreamFormatError: The type is no u32, or the body would be too long.
    """
    if not 0 <= header.type <= _U32_MAX:
        raise StreamFormatError(f"record: type {header.type} is no u32")
    if not 0 <= header.length <= REC_LENGTH_MAX:
        raise StreamFormatError(f"record: body of {header.length} bytes")
    return _RECORD.pack(header.type, header.length)


def pack_libxl_record(kind: LibxlRecord, body: bytes = b"") -> bytes:
    """Return a whole record, padded.

    Raises:
        StreamFormatError: The body has not a length that its type may have.
    """
    _check_length(kind, len(body))
    header = pack_record_header(RecordHeader(kind, len(body)))
    return header + body + bytes(padding(len(body)))


def unpack_libxl_record(data: bytes) -> RecordHeader:
    """Read the 8 bytes of a record's header; optional types may be unknown.

    Raises:
        StreamFormatError: Wrong size, unknown mandatory type, or a length that the
            type can't have.
    """
    header = unpack_record_header(data)
    if header.type < OPTIONAL_RECORD:
        if header.type not in _LENGTHS:
            raise StreamFormatError(f"libxl record: unknown type {header.type:#x}")
        _check_length(header.type, header.length)
    return header


def unpack_record_header(data: bytes) -> RecordHeader:
    """Read the 8 bytes of any record's header.

    Raises:
        StreamFormatError: Wrong size, or the body is over ``REC_LENGTH_MAX``.
    """
    if len(data) != _RECORD.size:
        raise StreamFormatError(f"record header: {len(data)} bytes, not {_RECORD.size}")
    kind, length = _RECORD.unpack(data)
    if length > REC_LENGTH_MAX:
        raise StreamFormatError(
            f"record of type {kind:#x}: body of {length} bytes, more than "
            f"{REC_LENGTH_MAX}"
        )
    return RecordHeader(kind, length)


def _check_length(kind: int, length: int) -> None:
    low, high = _LENGTHS[kind]
    if not low <= length <= high:
        raise StreamFormatError(
            f"libxl record {libxl_record_name(kind)}: body of {length} bytes"
        )


def pack_emulator_header(header: EmulatorHeader) -> bytes:
    """Return the 8 bytes.

    Raises:
        StreamFormatError: A number is no u32.
    """
    if not (0 <= header.emulator_id <= _U32_MAX and 0 <= header.index <= _U32_MAX):
        raise StreamFormatError(f"emulator header: numbers of {header} are no u32")
    return _RECORD.pack(header.emulator_id, header.index)


def unpack_emulator_header(data: bytes) -> EmulatorHeader:
    """Read the first 8 bytes of an EMULATOR record's body.

    Raises:
        StreamFormatError: Wrong size, unknown emulator, or an index that is not 0.
    """
    if len(data) != _RECORD.size:
        raise StreamFormatError(f"emulator header: {len(data)} bytes, not 8")
    emulator_id, index = _RECORD.unpack(data)
    if emulator_id not in EMULATOR_NAMES:
        raise StreamFormatError(f"emulator header: unknown emulator {emulator_id}")
    if index != 0:
        raise StreamFormatError(f"emulator header: index {index}, not 0")
    return EmulatorHeader(emulator_id, index)


def is_xenstore_key(key: bytes) -> bool:
    """Say whether a key is a relative path, of characters that xenstore takes."""
    parts = key.split(b"/")
    return len(key) <= XENSTORE_KEY_MAX and all(
        part and not part.translate(None, _KEY_BYTES) for part in parts
    )


def pack_xenstore_data(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return keys and values as they follow the emulator header.

    Raises:
        StreamFormatError: A key or value has a NUL in it, or a key is empty.
    """
    data = bytearray()
    for key, value in pairs:
        if not key or b"\0" in key or b"\0" in value:
            raise StreamFormatError(f"xenstore data: bad pair {key!r:.80}")
        data += key + b"\0" + value + b"\0"
    return bytes(data)


def unpack_xenstore_data(data: bytes) -> list[tuple[bytes, bytes]]:
    """Read the keys and values after the emulator header.

    Raises:
        StreamFormatError: No NUL at the end, a key without value, or an empty key.
    """
    if not data:
        return []
    if data[-1]:
        raise StreamFormatError("xenstore data: no NUL at the end")
    strings = data[:-1].split(b"\0")
    if len(strings) % 2:
        raise StreamFormatError(f"xenstore data: {len(strings)} strings are no pairs")
    pairs = list(zip(strings[::2], strings[1::2], strict=True))
    if not all(key for key, _ in pairs):
        raise StreamFormatError("xenstore data: empty key")
    return pairs
