"""The libxc image, version 3: headers, record types.

::

    image header (big-endian): u64 marker  u32 id  u32 version  u16 options  u16+u32 0
    domain header:  u32 type  u16 page_shift  u16 0  u32 xen_major  u32 xen_minor
    record:         as in the libxl stream

Xen: docs/specs/libxc-migration-stream.pandoc, tools/libs/guest/xg_sr_stream_format.h.
"""

from __future__ import annotations

import enum
import struct

from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.stream.libxl import (
    OPTIONAL_RECORD,
    REC_LENGTH_MAX,
    RecordHeader,
    unpack_record_header,
)
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SHIFT, PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "LIBXC_DOMAIN_SIZE",
    "LIBXC_ID",
    "LIBXC_IMAGE_SIZE",
    "LIBXC_MARKER",
    "LIBXC_VERSION",
    "DomainHeader",
    "DomainType",
    "ImageHeader",
    "LibxcRecord",
    "libxc_record_name",
    "pack_domain_header",
    "pack_image_header",
    "unpack_domain_header",
    "unpack_image_header",
    "unpack_libxc_record",
]

LIBXC_MARKER: Final = (1 << 64) - 1
LIBXC_ID: Final = 0x58454E46  # "XENF"
LIBXC_VERSION: Final = 3
_VERSIONS: Final = (2, 3)  # 2 lacks static data; Xen reads both, writes 3

_IMAGE: Final = struct.Struct(">QIIHHI")
_DOMAIN: Final = struct.Struct("<IHHII")
LIBXC_IMAGE_SIZE: Final = _IMAGE.size
LIBXC_DOMAIN_SIZE: Final = _DOMAIN.size

_BIG_ENDIAN: Final = 1
_U32_MAX: Final = (1 << 32) - 1


class DomainType(enum.IntEnum):
    """Types of domains in the domain header; PVH counts as HVM."""

    X86_PV = 1
    X86_HVM = 2


class LibxcRecord(enum.IntEnum):
    """Types of records."""

    END = 0x00
    PAGE_DATA = 0x01
    X86_PV_INFO = 0x02
    X86_PV_P2M_FRAMES = 0x03
    X86_PV_VCPU_BASIC = 0x04
    X86_PV_VCPU_EXTENDED = 0x05
    X86_PV_VCPU_XSAVE = 0x06
    SHARED_INFO = 0x07
    X86_TSC_INFO = 0x08
    HVM_CONTEXT = 0x09
    HVM_PARAMS = 0x0A
    #: No longer written nor read.
    TOOLSTACK = 0x0B
    X86_PV_VCPU_MSRS = 0x0C
    VERIFY = 0x0D
    CHECKPOINT = 0x0E
    CHECKPOINT_DIRTY_PFN_LIST = 0x0F
    STATIC_DATA_END = 0x10
    X86_CPUID_POLICY = 0x11
    X86_MSR_POLICY = 0x12


_R = LibxcRecord

#: Shortest body, longest body, and the unit beyond the shortest, in bytes.
_LENGTHS: Final[dict[int, tuple[int, int, int]]] = {
    _R.END: (0, 0, 1),
    _R.PAGE_DATA: (16, REC_LENGTH_MAX, 8),
    _R.X86_PV_INFO: (8, 8, 1),
    _R.X86_PV_P2M_FRAMES: (16, REC_LENGTH_MAX, 8),
    _R.X86_PV_VCPU_BASIC: (8, REC_LENGTH_MAX, 1),
    _R.X86_PV_VCPU_EXTENDED: (8, 8 + 128, 1),
    _R.X86_PV_VCPU_XSAVE: (8, REC_LENGTH_MAX, 1),
    _R.SHARED_INFO: (PAGE_SIZE, PAGE_SIZE, 1),
    _R.X86_TSC_INFO: (24, 24, 1),
    _R.HVM_CONTEXT: (1, REC_LENGTH_MAX, 1),
    _R.HVM_PARAMS: (8, REC_LENGTH_MAX, 16),
    _R.X86_PV_VCPU_MSRS: (8, REC_LENGTH_MAX, 16),
    _R.VERIFY: (0, 0, 1),
    _R.CHECKPOINT: (0, 0, 1),
    _R.CHECKPOINT_DIRTY_PFN_LIST: (0, REC_LENGTH_MAX, 8),
    _R.STATIC_DATA_END: (0, 0, 1),
    _R.X86_CPUID_POLICY: (24, REC_LENGTH_MAX, 24),
    _R.X86_MSR_POLICY: (0, REC_LENGTH_MAX, 16),
}


_NAMES: Final = {int(kind): kind.name for kind in LibxcRecord}


class ImageHeader(Value):
    """The first 24 bytes."""

    version: int = LIBXC_VERSION


class DomainHeader(Value):
    """The next 16 bytes; ``xen_major`` 0 means converted from Xen before 4.6."""

    type: DomainType
    xen_major: int
    xen_minor: int


def libxc_record_name(number: int) -> str:
    """Return a record type's name, for messages."""
    return _NAMES.get(number, f"type {number:#x}")


def _require_size(what: str, data: bytes, layout: struct.Struct) -> None:
    if len(data) != layout.size:
        raise StreamFormatError(f"{what}: {len(data)} bytes, not {layout.size}")


def pack_image_header() -> bytes:
    """Return the 24 bytes of a little-endian image of version 3."""
    return _IMAGE.pack(LIBXC_MARKER, LIBXC_ID, LIBXC_VERSION, 0, 0, 0)


def unpack_image_header(data: bytes) -> ImageHeader:
    """Read the 24 bytes.

    Raises:
        StreamFormatError: Wrong size, marker, id or version; big-endian; a reserved
            bit is set.
    """
    _require_size("libxc image header", data, _IMAGE)
    marker, ident, version, options, zero, more = _IMAGE.unpack(data)
    if (marker, ident) != (LIBXC_MARKER, LIBXC_ID):
        raise StreamFormatError(
            f"libxc image header: wrong marker {marker:#x} or id {ident:#x}"
        )
    if version not in _VERSIONS:
        raise StreamFormatError(f"libxc image header: version {version}, not 2 or 3")
    if options & _BIG_ENDIAN:
        raise StreamFormatError("libxc image header: big-endian image")
    if options or zero or more:
        raise StreamFormatError("libxc image header: reserved bits are set")
    return ImageHeader(version)


def pack_domain_header(header: DomainHeader) -> bytes:
    """Return the 16 bytes.

    Raises:
        StreamFormatError: A number is no u32.
    """
    if not (0 <= header.xen_major <= _U32_MAX and 0 <= header.xen_minor <= _U32_MAX):
        raise StreamFormatError(f"libxc domain header: {header} is no u32")
    return _DOMAIN.pack(header.type, PAGE_SHIFT, 0, header.xen_major, header.xen_minor)


def unpack_domain_header(data: bytes) -> DomainHeader:
    """Read the 16 bytes.

    Raises:
        StreamFormatError: Wrong size, type or page size; a reserved bit is set.
    """
    _require_size("libxc domain header", data, _DOMAIN)
    kind, shift, zero, major, minor = _DOMAIN.unpack(data)
    if kind not in (DomainType.X86_PV, DomainType.X86_HVM):
        raise StreamFormatError(f"libxc domain header: unknown type {kind}")
    if shift != PAGE_SHIFT:
        raise StreamFormatError(f"libxc domain header: page shift {shift}, not 12")
    if zero:
        raise StreamFormatError("libxc domain header: reserved bits are set")
    return DomainHeader(DomainType(kind), major, minor)


def unpack_libxc_record(data: bytes) -> RecordHeader:
    """Read the 8 bytes of a record's header; optional types may be unknown.

    Raises:
        StreamFormatError: Wrong size, unknown mandatory type, or a length that the
            type can't have.
    """
    header = unpack_record_header(data)
    if header.type >= OPTIONAL_RECORD:
        return header
    if header.type not in _LENGTHS:
        raise StreamFormatError(
            f"libxc record: type {libxc_record_name(header.type)} is not taken"
        )
    low, high, unit = _LENGTHS[header.type]
    if not low <= header.length <= high or (header.length - low) % unit:
        raise StreamFormatError(
            f"libxc record {libxc_record_name(header.type)}: "
            f"body of {header.length} bytes"
        )
    return header
