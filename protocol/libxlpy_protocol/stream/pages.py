"""PAGE_DATA, the record that carries memory.

::

    body:  u32 count  u32 0  u64 entry[count]  then 4096 bytes for each page with data
    entry: bits 63-60 page type, 59-52 zero, 51-0 pfn

Xen: docs/specs/libxc-migration-stream.pandoc, PAGE_DATA.
"""

from __future__ import annotations

import enum
import struct

from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.stream.libxl import REC_LENGTH_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "DATA_PAGE_TYPES",
    "PAGE_DATA_HEADER_SIZE",
    "PAGE_TYPE_NAMES",
    "PAGE_TYPE_SHIFT",
    "PageType",
    "pack_page_data_header",
    "pack_page_entry",
    "unpack_page_data_header",
    "unpack_page_entry",
]

PAGE_TYPE_SHIFT: Final = 60
_PFN_MASK: Final = (1 << 52) - 1
_RESERVED_MASK: Final = ((1 << PAGE_TYPE_SHIFT) - 1) & ~_PFN_MASK

_PAGE_DATA: Final = struct.Struct("<II")
PAGE_DATA_HEADER_SIZE: Final = _PAGE_DATA.size


class PageType(enum.IntEnum):
    """Types in the top four bits of a PAGE_DATA entry; 5-8 are none."""

    NOTAB = 0x0
    L1TAB = 0x1
    L2TAB = 0x2
    L3TAB = 0x3
    L4TAB = 0x4
    L1TAB_PINNED = 0x9
    L2TAB_PINNED = 0xA
    L3TAB_PINNED = 0xB
    L4TAB_PINNED = 0xC
    BROKEN = 0xD
    #: Populate only; made when converting from Xen before 4.6.
    XALLOC = 0xE
    #: No page there.
    XTAB = 0xF


#: Page types whose 4096 bytes are in the record.
DATA_PAGE_TYPES: Final = frozenset(PageType) - {
    PageType.BROKEN,
    PageType.XALLOC,
    PageType.XTAB,
}

#: Names by number, for messages.
PAGE_TYPE_NAMES: Final = {int(kind): kind.name for kind in PageType}
_PAGE_TYPES: Final = {int(kind): kind for kind in PageType}


def pack_page_data_header(count: int) -> bytes:
    """Return the first 8 bytes of a PAGE_DATA body of ``count`` > 0 entries.

    Raises:
        StreamFormatError: So many entries do not fit a record.
    """
    _check_count(count)
    return _PAGE_DATA.pack(count, 0)


def unpack_page_data_header(data: bytes) -> int:
    """Read the first 8 bytes of a PAGE_DATA body; return the count of entries.

    Raises:
        StreamFormatError: Wrong size, no entries, more than fit a record, or reserved
            bits are set.
    """
    if len(data) != _PAGE_DATA.size:
        raise StreamFormatError(f"PAGE_DATA header: {len(data)} bytes, not 8")
    count, zero = _PAGE_DATA.unpack(data)
    _check_count(count)
    if zero:
        raise StreamFormatError("PAGE_DATA header: reserved bits are set")
    return int(count)


def _check_count(count: int) -> None:
    if not 0 < count <= (REC_LENGTH_MAX - _PAGE_DATA.size) // 8:
        raise StreamFormatError(f"PAGE_DATA header: {count} entries")


def pack_page_entry(kind: PageType, pfn: int) -> int:
    """Return the u64 of one page.

    Raises:
        StreamFormatError: The pfn has more than 52 bits.
    """
    if not 0 <= pfn <= _PFN_MASK:
        raise StreamFormatError(f"PAGE_DATA entry: pfn {pfn:#x}")
    return kind << PAGE_TYPE_SHIFT | pfn


def unpack_page_entry(entry: int) -> tuple[PageType, int]:
    """Return type and pfn of one u64.

    Raises:
        StreamFormatError: Illegal type, or reserved bits are set.
    """
    kind = _PAGE_TYPES.get(entry >> PAGE_TYPE_SHIFT)
    if kind is None:
        raise StreamFormatError(f"PAGE_DATA entry {entry:#018x}: illegal page type")
    if entry & _RESERVED_MASK:
        raise StreamFormatError(f"PAGE_DATA entry {entry:#018x}: reserved bits are set")
    return kind, entry & _PFN_MASK
