"""The libxl stream, version 2: header, libxc image inline, emulator records, END.

Source: Xen, docs/specs/libxl-migration-stream.pandoc.
"""

from collections.abc import Generator

from libxlpy.streams import libxc
from libxlpy.streams.cursor import Cursor
from libxlpy.streams.events import Layer, LibxlHeaderRead, RecordRead
from libxlpy.streams.image import Image
from libxlpy.streams.pull import Need, Reading, blocks, skip
from libxlpy_protocol.stream.formats import (
    LIBXL_HEADER_SIZE,
    LIBXL_VERSION,
    OPTIONAL_RECORD,
    RECORD_HEADER_SIZE,
    XENSTORE_DATA_MAX,
    XENSTORE_KEY_MAX,
    XENSTORE_VALUE_MAX,
    LibxcRecord,
    LibxlOptions,
    is_xenstore_key,
    libxl_record_name,
    unpack_emulator_header,
    unpack_libxl_header,
)
from libxlpy_protocol.stream.formats import LibxlRecord as Record

#: Bytes of emulator keys looked at in one piece.
BLOCK = 4096
_KINDS = frozenset(Record)
#: After each record, what may follow; optional records may come anywhere.
_EMULATOR = (Record.EMULATOR_XENSTORE_DATA, Record.EMULATOR_CONTEXT)
FOLLOWERS: dict[Record | None, tuple[Record, ...]] = {
    None: (Record.LIBXC_CONTEXT,),
    Record.LIBXC_CONTEXT: (*_EMULATOR, Record.END),
    Record.EMULATOR_XENSTORE_DATA: (Record.EMULATOR_CONTEXT, Record.END),
    Record.EMULATOR_CONTEXT: (Record.END,),
}


def stream(cursor: Cursor, *, checkpointed: bool = False) -> Reading:
    """Read a whole libxl stream, up to and including END."""
    yield from _header(cursor)
    yield from _part(cursor, None, Record.LIBXC_CONTEXT)
    image = yield from libxc.image_header(cursor, checkpointed=checkpointed)
    while (yield from libxc.records(image)) is LibxcRecord.CHECKPOINT:
        yield from _part(cursor, image, Record.CHECKPOINT_END)
    yield from _part(cursor, image, Record.END)


def _header(cursor: Cursor) -> Reading:
    cursor.begin("libxl header")
    header = yield from cursor.header(LIBXL_HEADER_SIZE, unpack_libxl_header)
    legacy = LibxlOptions.LEGACY in header.options
    cursor.events.append(
        LibxlHeaderRead(cursor.start, LIBXL_HEADER_SIZE, LIBXL_VERSION, legacy)
    )


def _part(cursor: Cursor, image: Image | None, last: Record) -> Reading:
    before = None if image is None else Record.LIBXC_CONTEXT
    while before is not last:
        kind = yield from _record(cursor, image, before, last)
        before = before if kind is None else kind


def _record(
    cursor: Cursor, image: Image | None, before: Record | None, last: Record
) -> Generator[Need, bytes, Record | None]:
    number, length = yield from libxc.record_header(cursor, "libxl", libxl_record_name)
    kind = Record(number) if number in _KINDS else None
    if kind is not None:
        _check_order(cursor, kind, before, last)
        yield from _body(cursor, image, kind, length)
    elif number < OPTIONAL_RECORD:
        cursor.fail("its type is unknown and not optional")
    else:
        yield from skip(length)
    yield from cursor.zeros(length)
    name = libxl_record_name(number)
    cursor.events.append(RecordRead(Layer.LIBXL, cursor.start, number, name, length))
    return kind


def _check_order(
    cursor: Cursor, kind: Record, before: Record | None, last: Record
) -> None:
    if kind is Record.CHECKPOINT_STATE:
        cursor.fail("it belongs to COLO's back channel")
    allowed = FOLLOWERS[before]
    if Record.END in allowed:  # where a plain stream ends, a checkpoint may
        allowed = (*allowed[:-1], last)
    if kind not in allowed:
        place = f"after {before.name}" if before is not None else "after the header"
        cursor.fail(f"it can't come {place}")


def _body(cursor: Cursor, image: Image | None, kind: Record, length: int) -> Reading:
    if kind not in _EMULATOR:
        if length:
            cursor.fail(f"its body is {length} bytes long, not 0")
        return
    if image is not None and image.pv:
        cursor.fail("no PV domain has an emulator")
    if length < RECORD_HEADER_SIZE:
        cursor.fail(f"its body of {length} bytes can't hold an emulator number")
    yield from cursor.header(RECORD_HEADER_SIZE, unpack_emulator_header)
    rest = length - RECORD_HEADER_SIZE
    if kind is Record.EMULATOR_CONTEXT:
        yield from skip(rest)
    else:
        yield from _xenstore_data(cursor, rest)


def _xenstore_data(cursor: Cursor, length: int) -> Reading:
    if length > XENSTORE_DATA_MAX:
        cursor.fail(f"{length} bytes of keys exceed the limit of {XENSTORE_DATA_MAX}")
    keys = _KeyCheck(cursor)
    yield from blocks(length, BLOCK, keys.feed)
    keys.finish()


class _KeyCheck:
    """Checks ``key NUL value NUL ...`` in pieces; keys are relative xenstore paths."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._key = b""
        self._in_value = False
        self._value = 0  # bytes of it

    def feed(self, piece: bytes) -> None:
        *whole, rest = piece.split(b"\0")
        for token in whole:
            self._token(token)
            self._end()
        self._token(rest)

    def finish(self) -> None:
        if self._in_value or self._key:
            self._cursor.fail("its last key has no value that ends with NUL")

    def _token(self, token: bytes) -> None:
        if self._in_value:
            self._value += len(token)
            if self._value > XENSTORE_VALUE_MAX:
                self._cursor.fail(f"a value is longer than {XENSTORE_VALUE_MAX} bytes")
            return
        self._key += token
        if len(self._key) > XENSTORE_KEY_MAX:
            self._cursor.fail(f"a key is longer than {XENSTORE_KEY_MAX} bytes")

    def _end(self) -> None:
        if not self._in_value and not is_xenstore_key(self._key):
            self._cursor.fail(f"{self._key[:64]!r} is no relative xenstore path")
        self._key = b""
        self._value = 0
        self._in_value = not self._in_value
