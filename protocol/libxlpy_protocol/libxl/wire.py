"""Messages <-> the bytes of libxl's own helper protocol.

Helper to parent: u16 body length, then the body: u16 message number and the arguments,
native byte order and sizes, no padding. Parent to helper: one native int for each
message that is answered, with nothing that says which. Every bound is checked as soon
as the bytes that break it are there: a frame that can't be good is never waited for.

Xen: tools/libs/light/libxl_save_msgs_gen.pl; tools/libs/light/libxl_save_helper.c.
"""

from __future__ import annotations

import struct

from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import Field, FieldError, String, clip, readable
from libxlpy_protocol.libxl.table import NEWEST, CType, LibxlRule, LibxlTable
from libxlpy_protocol.messages import AnyMessage, Complete, Message
from libxlpy_protocol.table import FIELDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = [
    "ANSWER",
    "LIBXL_BODY_MAX",
    "AnswerBuffer",
    "MessageBuffer",
    "decode_libxl",
    "encode_libxl",
]

LIBXL_BODY_MAX: Final = 0xFFFF  # bytes; the length is a u16
#: What is no UTF-8 is shown as escapes.
ESCAPED: Final = "backslashreplace"
LENGTH: Final = struct.Struct("@H")
NUMBER: Final = struct.Struct("@H")
ANSWER: Final = struct.Struct("@i")
SIZE: Final = struct.Struct("@I")

_FIXED: Final = {
    CType.U32: struct.Struct("@I"),
    CType.I32: struct.Struct("@i"),
    CType.FLAG: struct.Struct("@I"),
    CType.ULONG: struct.Struct("@L"),
}
#: Bytes of the shortest argument of each type; a string has its NUL at least.
_LEAST: Final = {kind: packed.size for kind, packed in _FIXED.items()} | {
    CType.STRING: SIZE.size + 1,
    CType.BLOCK: SIZE.size,
}
_FAILED: Final = -1

# --------------------------------------------------------------------------------------
# Messages to bytes
# --------------------------------------------------------------------------------------


def encode_libxl(message: Message, table: LibxlTable = NEWEST) -> bytes:
    """Return the frame of ``message``.

    An operation that was aborted has failed, whatever libxc returned: libxl's wire has
    no other word for it.

    Raises:
        LocalProtocolError: That wire has no such message, or its body is too large.
    """
    kind = type(message)
    number = table.number_of(kind)
    if number is None:
        raise LocalProtocolError(f"{kind.__name__} is not on libxl's wire")
    if isinstance(message, Complete) and message.aborted and not message.retval:
        message = Complete(_FAILED, message.errnoval, aborted=True)
    body = NUMBER.pack(number)
    for name, ctype in table.rules[number].args:
        value = getattr(message, name) if name else 0
        body += _pack(f"{kind.__name__}.{name}", ctype, value)
    if len(body) > LIBXL_BODY_MAX:
        raise LocalProtocolError(
            f"{kind.__name__}: body of {len(body)} bytes, more than {LIBXL_BODY_MAX}"
        )
    return LENGTH.pack(len(body)) + body


def _pack(name: str, ctype: CType, value: Any) -> bytes:
    if ctype is CType.STRING:
        # A NUL would end the text for libxl.
        text = readable(str(value)).replace("\0", "\\0").encode("utf-8", ESCAPED)
        return SIZE.pack(len(text) + 1) + text + b"\0"
    if ctype is CType.BLOCK:
        assert isinstance(value, bytes)
        return SIZE.pack(len(value)) + value
    try:
        return _FIXED[ctype].pack(int(value))
    except struct.error:
        raise LocalProtocolError(f"{name} is {value}, no {ctype.value}") from None


# --------------------------------------------------------------------------------------
# Bytes to messages
# --------------------------------------------------------------------------------------


def decode_libxl(body: bytes, table: LibxlTable = NEWEST) -> AnyMessage:
    """Return the message in ``body``.

    Text that is too long for our field is cut, bytes that are no UTF-8 become escapes:
    it is text for people, and Xen doesn't promise more.

    Raises:
        RemoteProtocolError: The body is anything but one message of this wire.
    """
    try:
        return _decode(body, table)
    except FieldError as exc:
        frame = LENGTH.pack(len(body) & LIBXL_BODY_MAX) + body
        raise RemoteProtocolError(str(exc), frame) from None


def _decode(body: bytes, table: LibxlTable) -> AnyMessage:
    rule = _rule_of(body, table)
    kind, fields = rule.kind, dict(FIELDS[rule.kind])
    values: dict[str, object] = {}
    reader = _Reader(body)
    for name, ctype in rule.args:
        value = reader.take(f"{kind.__name__}.{name}", ctype)
        if name:
            values[name] = _checked(f"{kind.__name__}.{name}", fields[name], value)
    reader.end(kind.__name__)
    if kind is Complete:
        values["aborted"] = False
    return _built(kind, values)


def _built(kind: Any, values: dict[str, object]) -> AnyMessage:
    message: AnyMessage = kind(**values)
    return message


def _rule_of(body: bytes, table: LibxlTable) -> LibxlRule:
    if len(body) < NUMBER.size:
        raise FieldError(f"body of {len(body)} bytes")
    (number,) = NUMBER.unpack_from(body)
    rule = table.rules.get(number)
    if rule is None:
        raise FieldError(f"no message has the number {number}")
    _check_size(rule, len(body))
    return rule


def _check_size(rule: LibxlRule, size: int) -> None:
    """Compare a body's size with what its arguments take at least, or exactly."""
    types = [ctype for _, ctype in rule.args]
    least = NUMBER.size + sum(_LEAST[ctype] for ctype in types)
    fixed = all(ctype in _FIXED for ctype in types)
    if size < least or (fixed and size > least):
        raise FieldError(f"{rule.kind.__name__}: body of {size} bytes, not {least}")


def _checked(name: str, field: Field, value: object) -> object:
    if isinstance(field, String) and isinstance(value, str):
        value = clip(value, field.most)
    try:
        return field.take(value)
    except FieldError as exc:
        raise FieldError(f"{name} {exc}") from None


class _Reader:
    """Takes arguments off a body, front to back."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = NUMBER.size

    def take(self, name: str, ctype: CType) -> object:
        if ctype is CType.STRING:
            return _text(name, self._block(name))
        if ctype is CType.BLOCK:
            return self._block(name)
        packed = _FIXED[ctype]
        (value,) = packed.unpack(self._bytes(name, packed.size))
        if ctype is CType.FLAG:
            if value not in (0, 1):
                raise FieldError(f"{name} is {value}, neither 0 nor 1")
            return bool(value)
        return value

    def end(self, name: str) -> None:
        left = len(self._body) - self._at
        if left:
            raise FieldError(f"{name}: {left} bytes after the last argument")

    def _block(self, name: str) -> bytes:
        (size,) = SIZE.unpack(self._bytes(name, SIZE.size))
        return self._bytes(name, size)

    def _bytes(self, name: str, size: int) -> bytes:
        left = len(self._body) - self._at
        if size > left:
            raise FieldError(f"{name} of {size} bytes, {left} are left")
        self._at += size
        return self._body[self._at - size : self._at]


def _text(name: str, block: bytes) -> str:
    text, nul, rest = block.partition(b"\0")
    if not nul or rest:
        raise FieldError(f"{name} does not end at its first NUL")
    return text.decode("utf-8", ESCAPED)


# --------------------------------------------------------------------------------------
# Streams of both directions
# --------------------------------------------------------------------------------------


class MessageBuffer:
    """Cut what a helper writes into bodies; holds no more than it was fed."""

    def __init__(self, table: LibxlTable = NEWEST) -> None:
        self._table = table
        #: Bytes that no body was made of yet.
        self.rest = bytearray()

    def feed(self, data: bytes) -> None:
        """Append bytes as they were read."""
        self.rest += data

    def next_body(self) -> bytes | None:
        """Take the next whole body, or return None when more bytes are needed.

        Raises:
            RemoteProtocolError: No message has this number, or not this length.
        """
        if len(self.rest) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(self.rest)
        if size < NUMBER.size:
            raise self._refuse(f"body of {size} bytes", LENGTH.size)
        if len(self.rest) < LENGTH.size + NUMBER.size:
            return None
        self._check_head(size)
        end = LENGTH.size + size
        if len(self.rest) < end:
            return None
        body = bytes(self.rest[LENGTH.size : end])
        del self.rest[:end]
        return body

    def end(self) -> None:
        """Say that no more bytes will come.

        Raises:
            RemoteProtocolError: A frame is not complete.
        """
        size = len(self.rest)
        if size:
            raise self._refuse(f"truncated: end of file, {size} bytes of a frame", size)

    def _check_head(self, size: int) -> None:
        (number,) = NUMBER.unpack_from(self.rest, LENGTH.size)
        rule = self._table.rules.get(number)
        taken = LENGTH.size + NUMBER.size
        if rule is None:
            raise self._refuse(f"no message has the number {number}", taken)
        try:
            _check_size(rule, size)
        except FieldError as exc:
            raise self._refuse(str(exc), taken) from None

    def _refuse(self, text: str, taken: int) -> RemoteProtocolError:
        return RemoteProtocolError(text, bytes(self.rest[:taken]))


class AnswerBuffer:
    """Cut what a parent writes into ints."""

    def __init__(self) -> None:
        #: Bytes that no answer was made of yet.
        self.rest = bytearray()

    def feed(self, data: bytes) -> None:
        """Append bytes as they were read."""
        self.rest += data

    def next_answer(self) -> int | None:
        """Take the next whole answer, or return None when more bytes are needed."""
        if len(self.rest) < ANSWER.size:
            return None
        value: int = ANSWER.unpack_from(self.rest)[0]
        del self.rest[: ANSWER.size]
        return value

    def end(self) -> None:
        """Say that no more bytes will come.

        Raises:
            RemoteProtocolError: An answer is not complete.
        """
        size = len(self.rest)
        if size:
            raise RemoteProtocolError(
                f"truncated: end of file, {size} bytes of an answer", bytes(self.rest)
            )
