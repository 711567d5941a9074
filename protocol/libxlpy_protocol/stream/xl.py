"""The header that ``xl save`` puts before the libxl stream; native order, x86 is LE.

::

    magic[32]  u32 byteorder  u32 mandatory_flags  u32 optional_flags  u32 optional_len
    optional data: u32 config_len  config (JSON, ends with NUL)

Xen: tools/xl/xl.h, struct save_file_header.
"""

from __future__ import annotations

import enum
import struct

from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "XL_BYTEORDER",
    "XL_CONFIG_MAX",
    "XL_HEADER_SIZE",
    "XL_MAGIC",
    "XlFlags",
    "XlHeader",
    "pack_xl_config",
    "pack_xl_header",
    "unpack_xl_config",
    "unpack_xl_header",
]

XL_MAGIC: Final = b"Xen saved domain, xl format\n \0 \r"
XL_BYTEORDER: Final = 0x01020304
#: Bytes; ours, xl has no limit. Real ones are below 64 KiB, and reading takes 20 times
#: their size.
XL_CONFIG_MAX: Final = 1024 * 1024

_HEADER: Final = struct.Struct("<32sIIII")
_U32: Final = struct.Struct("<I")
XL_HEADER_SIZE: Final = _HEADER.size

_SWAPPED: Final = 0x04030201
_U32_MAX: Final = (1 << 32) - 1


class XlFlags(enum.IntFlag):
    """Mandatory flags; a reader refuses what it does not know."""

    #: The config is JSON, not the old text form.
    JSON = 1
    #: The libxl stream, version 2, follows.
    STREAM_V2 = 2


class XlHeader(Value):
    """The fixed 48 bytes.

    Attributes:
        mandatory_flags: See :class:`XlFlags`.
        optional_flags: Ignored by readers.
        optional_length: Bytes of optional data that follow.
    """

    optional_length: int = 0
    mandatory_flags: XlFlags = XlFlags.JSON | XlFlags.STREAM_V2
    optional_flags: int = 0


def pack_xl_header(header: XlHeader) -> bytes:
    """Return the 48 bytes.

    Raises:
        StreamFormatError: A number is no u32.
    """
    numbers = (header.mandatory_flags, header.optional_flags, header.optional_length)
    if not all(0 <= number <= _U32_MAX for number in numbers):
        raise StreamFormatError(f"xl header: {numbers} are no u32")
    return _HEADER.pack(XL_MAGIC, XL_BYTEORDER, *numbers)


def unpack_xl_header(data: bytes) -> XlHeader:
    """Read the fixed 48 bytes.

    Raises:
        StreamFormatError: Wrong size, magic, byte order, mandatory flag, or more
            optional data than we take.
    """
    if len(data) != _HEADER.size:
        raise StreamFormatError(f"xl header: {len(data)} bytes, not {_HEADER.size}")
    magic, byteorder, mandatory, optional, length = _HEADER.unpack(data)
    if magic != XL_MAGIC:
        raise StreamFormatError("xl header: wrong magic, not a file made by xl save")
    if byteorder == _SWAPPED:
        raise StreamFormatError("xl header: made on a machine of other byte order")
    if byteorder != XL_BYTEORDER:
        raise StreamFormatError(f"xl header: wrong byte order mark {byteorder:#010x}")
    if mandatory & ~sum(XlFlags):
        raise StreamFormatError(f"xl header: unknown mandatory flags {mandatory:#x}")
    if length > _U32.size + XL_CONFIG_MAX:
        raise StreamFormatError(
            f"xl header: {length} bytes of optional data, more than the "
            f"{_U32.size + XL_CONFIG_MAX} that are taken; `xl restore` has no limit"
        )
    return XlHeader(length, XlFlags(mandatory), optional)


def pack_xl_config(config: bytes) -> bytes:
    """Return the optional data that carry a domain's config.

    Raises:
        StreamFormatError: The config is larger than ``XL_CONFIG_MAX``.
    """
    if len(config) > XL_CONFIG_MAX:
        raise StreamFormatError(
            f"xl config: {len(config)} bytes, more than {XL_CONFIG_MAX}; "
            "store a smaller one in its place"
        )
    return _U32.pack(len(config)) + config


def unpack_xl_config(data: bytes) -> bytes | None:
    """Read the optional data; None when there are none.

    Raises:
        StreamFormatError: The length in them is not that of what follows.
    """
    if not data:
        return None
    if len(data) < _U32.size:
        raise StreamFormatError(f"xl config: {len(data)} bytes, less than its length")
    (length,) = _U32.unpack_from(data)
    config = data[_U32.size :]
    if length != len(config):
        raise StreamFormatError(f"xl config: says {length} bytes, has {len(config)}")
    return config
