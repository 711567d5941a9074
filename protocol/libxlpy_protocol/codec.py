"""Messages <-> bodies: one msgpack array ``[number, call_id, field ...]``.

The only module that imports msgpack. Nothing of the peer's gets through that is not
exactly what the message's annotations say: no maps, no extension types, strict UTF-8,
no array longer than a message can have (which bounds what the unpacker allocates).
"""

from __future__ import annotations

import msgpack

from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import ITEMS_MAX, U32, Field, FieldError, field_of
from libxlpy_protocol.framing import frame
from libxlpy_protocol.hello import VERSION
from libxlpy_protocol.messages import AnyMessage, Hello, Message
from libxlpy_protocol.table import FIELDS, MESSAGES, NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

__all__ = ["decode", "encode", "pack", "unpack"]

_CALL_ID: Final = field_of(U32)


def encode(message: Message, call_id: int = 0) -> bytes:
    """Return the body of ``message``.

    Raises:
        LocalProtocolError: A field has the wrong type or is out of its bounds.
    """
    kind = type(message)
    rule = MESSAGES.get(kind)
    if rule is None:
        raise LocalProtocolError(f"{kind.__name__} is no message")
    try:
        wire = [rule.number, _CALL_ID.put(call_id)]
        wire += [field.put(getattr(message, name)) for name, field in FIELDS[kind]]
    except FieldError:
        values = [getattr(message, name) for name, _ in FIELDS[kind]]
        reason = _reason(kind, call_id, values, lambda field: field.put)
        raise LocalProtocolError(reason) from None
    body = pack(wire)
    assert len(body) <= rule.max_body  # the fields' own bounds see to that
    return body


def decode(body: bytes) -> tuple[AnyMessage, int]:
    """Return the message in ``body`` and its call id.

    Raises:
        RemoteProtocolError: The body is anything but one exactly typed message.
    """
    try:
        return _decode(unpack(body, 2), len(body))
    except FieldError as exc:
        raise RemoteProtocolError(str(exc), frame(body)) from None


def pack(wire: list[object]) -> bytes:
    """Return an array of checked fields as a body."""
    packed: Any = msgpack.packb(wire, use_bin_type=True)
    return bytes(packed)


def unpack(body: bytes, least: int = 1) -> tuple[object, ...]:
    """Return the array that is a body; its items are still to be checked.

    Args:
        body: As it came.
        least: How many items it has at least.

    Raises:
        FieldError: It is anything else.
    """
    try:
        wire = msgpack.unpackb(
            body,
            use_list=False,
            raw=False,
            max_array_len=ITEMS_MAX,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException) as exc:
        # Every error of msgpack is one of the two; its text may name hostile bytes.
        raise FieldError(f"body is no message: {type(exc).__name__}") from None
    if type(wire) is not tuple or len(wire) < least:
        raise FieldError("body is no array of number, call id and fields")
    return wire


def _decode(wire: tuple[object, ...], size: int) -> tuple[AnyMessage, int]:
    number, call_id, *values = wire
    kind = NUMBERS.get(number) if type(number) is int else None
    if kind is None:
        raise FieldError(f"no message has the number {number!r:.40}")
    most = MESSAGES[kind].max_body
    if size > most:
        raise FieldError(f"{kind.__name__}: body of {size} bytes, more than {most}")
    if kind is Hello and _is_newer(values):
        del values[len(FIELDS[Hello]) :]
    if len(values) != len(FIELDS[kind]):
        raise FieldError(
            f"{kind.__name__} has {len(values)} fields, not {len(FIELDS[kind])}"
        )
    build: Any = kind
    try:
        call: Any = _CALL_ID.take(call_id)
        taken = [
            field.take(value)
            for (_, field), value in zip(FIELDS[kind], values, strict=True)
        ]
    except FieldError:
        reason = _reason(kind, call_id, values, lambda field: field.take)
        raise FieldError(reason) from None
    return build(*taken), call


def _reason(
    kind: type[Message],
    call_id: object,
    values: list[object],
    check_of: Callable[[Field], Callable[[object], object]],
) -> str:
    """Name the first field whose check fails, as one does: rarely, so only here."""
    fields = (("call_id", _CALL_ID), *FIELDS[kind])
    for (name, field), value in zip(fields, (call_id, *values), strict=True):
        try:
            check_of(field)(value)
        except FieldError as exc:
            return f"{kind.__name__}.{name} {exc}"
    raise AssertionError("a check that has failed does so again")


def _is_newer(values: list[object]) -> bool:
    """Tell a hello of a later version: it may have more fields, to be left unread."""
    return bool(values) and type(values[0]) is int and values[0] > VERSION
