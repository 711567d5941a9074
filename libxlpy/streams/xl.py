"""The header that `xl save` puts in front of a libxl stream, with the configuration.

Source: Xen, tools/xl/xl.h, struct save_file_header.
"""

import struct
from collections.abc import Generator

from libxlpy.streams import libxl
from libxlpy.streams.cursor import Cursor
from libxlpy.streams.errors import StreamRuleBroken
from libxlpy.streams.events import XlHeaderRead
from libxlpy.streams.pull import MAX_KEEP, Need, Reading, blocks, skip, unpack
from libxlpy_protocol.json_text import JsonError, parse
from libxlpy_protocol.stream import formats as stream_format
from libxlpy_protocol.stream.formats import XL_HEADER_SIZE, XlFlags

CONFIG_LENGTH = struct.Struct("<I")


def file(cursor: Cursor) -> Reading:
    """Read a whole file: header, configuration, libxl stream."""
    yield from header(cursor)
    yield from libxl.stream(cursor)


def header(cursor: Cursor) -> Reading:
    """Read header and configuration."""
    cursor.begin("xl header")
    head = yield from cursor.header(XL_HEADER_SIZE, stream_format.unpack_xl_header)
    if XlFlags.STREAM_V2 not in head.mandatory_flags:
        cursor.fail("the stream is older than Xen 4.6; convert it first")
    json = XlFlags.JSON in head.mandatory_flags
    config = yield from _config(cursor, head.optional_length, json=json)
    cursor.events.append(
        XlHeaderRead(
            0, cursor.offset, head.mandatory_flags, head.optional_flags, config, json
        )
    )


def _config(
    cursor: Cursor, length: int, *, json: bool
) -> Generator[Need, bytes, bytes | None]:
    if length == 0:
        return None
    cursor.begin("xl configuration")
    if length < CONFIG_LENGTH.size:
        cursor.fail(f"{length} bytes of optional data can't hold its length")
    (size,) = yield from unpack(CONFIG_LENGTH)
    if CONFIG_LENGTH.size + size > length:
        cursor.fail(f"{size} bytes don't fit {length} bytes of optional data")
    config = bytearray()
    yield from blocks(size, MAX_KEEP, config.extend)
    yield from skip(length - CONFIG_LENGTH.size - size)  # may grow, says xl.h
    return checked_config(cursor, bytes(config), json=json) if size else None


def checked_config(cursor: Cursor, config: bytes, *, json: bool) -> bytes:
    """Give a configuration without its final NUL; there must be no other."""
    if json and not config.endswith(b"\0"):
        cursor.fail("it is JSON and does not end with NUL")
    text = config.removesuffix(b"\0")
    if b"\0" in text:
        cursor.fail("there is a NUL inside it")
    try:
        text.decode()
    except UnicodeDecodeError:
        cursor.fail("it is not UTF-8")
    return text


def config_name(header: XlHeaderRead | None) -> str | None:
    """Give the domain's name in a configuration; None if it says none.

    Raises:
        StreamRuleBroken: The configuration claims to be JSON and is not.
    """
    if header is None or header.config is None or not header.config_is_json:
        return None
    try:
        name = parse(header.config)["c_info"]["name"]
    except JsonError as exc:
        raise StreamRuleBroken("xl configuration", header.offset, str(exc)) from None
    except (KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def pack_header(config: bytes | None, *, json: bool) -> bytes:
    """Make header and optional data, as `xl save` does.

    Args:
        config: Configuration, its final NUL may be missing; None to store none.
        json: It is JSON, else xl's text format.
    """
    flags = XlFlags.STREAM_V2 | (XlFlags.JSON if json else 0)
    data = b""
    if config is not None:
        text = config.rstrip(b"\0")
        data = stream_format.pack_xl_config(text + b"\0" if json else text)
    head = stream_format.XlHeader(len(data), XlFlags(flags))
    return stream_format.pack_xl_header(head) + data
