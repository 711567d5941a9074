"""Bodies: every message there and back, and everything else refused."""

import tracemalloc
from typing import Any

import msgpack
import pytest

from libxlpy_protocol.codec import decode, encode
from libxlpy_protocol.enums import Mode, XcFlags
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import (
    BODY_MAX,
    DATA_MAX,
    ITEMS_MAX,
    LARGE_BODY_MAX,
    TEXT_MAX,
    Choice,
    Data,
    Field,
    Reply,
    Row,
    String,
    Whole,
)
from libxlpy_protocol.framing import frame
from libxlpy_protocol.messages import (
    Answer,
    Hello,
    Log,
    Message,
    OpResult,
    Start,
    Suspend,
    ToolstackRestore,
)
from libxlpy_protocol.table import FIELDS, MESSAGES
from tests.support.conversation import HELLO, SAMPLES

FIELD_CELLS = [
    (kind, index, name) for kind in SAMPLES for index, name in enumerate(kind.names())
]
CELL_IDS = [f"{kind.__name__}.{name}" for kind, _, name in FIELD_CELLS]

ODD: list[Any] = [
    True,
    False,
    -(2**63),
    2**64 - 1,
    0.5,
    None,
    "x" * (TEXT_MAX + 1),
    b"x" * 17,
    [],
    ["x"],
    [[1]],
    [True],
    [1] * 32,
]


def body(*wire: object) -> bytes:
    return msgpack.packb(list(wire))  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_round_trip(kind: type[Message]) -> None:
    sample = SAMPLES[kind]
    for call_id in (0, 1, 2**32 - 1):
        data = encode(sample, call_id)
        assert msgpack.unpackb(data)[:2] == [MESSAGES[kind].number, call_id]
        message, back = decode(data)
        assert (message, back) == (sample, call_id)
        assert type(message) is kind


def test_wire_form_is_what_the_documentation_says() -> None:
    assert encode(Log(4, -1, "xc", "hi")) == b"\x96\x01\x00\x04\xff\xa2xc\xa2hi"
    assert encode(Answer(None), 7) == b"\x93\x22\x07\xc0"
    assert encode(Answer(b"\0"), 7) == b"\x93\x22\x07\xc4\x01\0"
    assert encode(OpResult(0, 0, (1,), b""), 9) == b"\x96)\x09\0\0\x91\1\xc4\0"


def test_enums_come_back_as_members() -> None:
    message, _ = decode(encode(SAMPLES[Start]))
    assert isinstance(message, Start)
    assert type(message.mode) is Mode
    assert type(message.flags) is XcFlags


@pytest.mark.parametrize(("kind", "index", "name"), FIELD_CELLS, ids=CELL_IDS)
def test_every_field_refuses_odd_values(
    kind: type[Message], index: int, name: str
) -> None:
    """Whatever sits in a field is taken back the same or refused by that name."""
    good = msgpack.unpackb(encode(SAMPLES[kind]))
    refused = 0
    for odd in ODD:
        wire = [*good]
        wire[2 + index] = odd
        try:
            message, _ = decode(body(*wire))
        except RemoteProtocolError as exc:
            refusal = (f"{kind.__name__}.{name} " in str(exc), exc.frame)
            refused += 1
        else:
            assert msgpack.unpackb(encode(message)) == wire
            continue
        assert refusal == (True, frame(body(*wire)))
    assert refused >= 7


@pytest.mark.parametrize(("kind", "index", "name"), FIELD_CELLS, ids=CELL_IDS)
def test_we_send_no_odd_value_either(
    kind: type[Message], index: int, name: str
) -> None:
    odd: Any = object()
    with pytest.raises(LocalProtocolError, match=rf"{kind.__name__}\.{name} is object"):
        encode(SAMPLES[kind].replace(**{name: odd}))
    assert index >= 0


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_field_count_is_exact(kind: type[Message]) -> None:
    good = msgpack.unpackb(encode(SAMPLES[kind]))
    for wire in (good[:-1], [*good, 0]):
        if len(wire) < 2:
            continue
        with pytest.raises(RemoteProtocolError, match=r"fields|array"):
            decode(body(*wire))


@pytest.mark.parametrize("number", [0, 11, 31, 51, 2**40, -1, True, None, "3", 3.0])
def test_unknown_number(number: object) -> None:
    with pytest.raises(RemoteProtocolError, match="no message has the number"):
        decode(body(number, 0))


@pytest.mark.parametrize("call_id", [-1, 2**32, True, None, "1", 1.0, []])
def test_call_id_is_a_u32(call_id: object) -> None:
    with pytest.raises(RemoteProtocolError, match=r"Suspend\.call_id"):
        decode(body(3, call_id))
    with pytest.raises(LocalProtocolError, match=r"Suspend\.call_id"):
        encode(Suspend(), call_id)  # type: ignore[arg-type]


BROKEN = {
    "nothing": b"",
    "no array": body()[:0] + b"\x03",
    "empty array": b"\x90",
    "number only": b"\x91\x03",
    "cut": encode(HELLO)[:-1],
    "trailing byte": encode(Suspend(), 1) + b"\0",
    "map": b"\x80",
    "map with entries": b"\x93\x22\x01\x81\x01\x01",
    "empty map as value": b"\x93\x22\x01\x80",
    "extension": b"\x93\x22\x01\xd4\x05\x00",
    "empty extension": b"\x93\x22\x01\xc7\x00\x05",
    "timestamp": b"\x93\x22\x01\xd6\xff\0\0\0\0",
    "never used": b"\x93\x22\x01\xc1",
    "bad utf-8": b"\x96\x01\x00\x04\xff\xa1\xff\xa2hi",
    "surrogate": b"\x96\x01\x00\x04\xff\xa3\xed\xb2\x80\xa2hi",
    "33 items": body(41, 1, 0, 0, [0] * 33, b""),
    "huge array": b"\xdd\xff\xff\xff\xff",
    "huge array, array16": b"\xdc\xff\xff\x01",
    "huge string": b"\x93\x23\x00\xdb\xff\xff\xff\xff",
    "huge data": b"\x93\x22\x01\xc6\xff\xff\xff\xff",
    "arrays in arrays": b"\x91" * 5000,
    "arrays that announce much": b"\xdc\x00\x20" * 1000,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_body(name: str) -> None:
    with pytest.raises(RemoteProtocolError) as info:
        decode(BROKEN[name])
    assert info.value.frame == frame(BROKEN[name])
    assert "\n" not in str(info.value)


def test_longer_forms_of_a_number_mean_the_same() -> None:
    assert decode(b"\x92\xcc\x03\xce\x00\x00\x00\x01") == (Suspend(), 1)


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_oversize_body_is_refused_by_message(kind: type[Message]) -> None:
    most = MESSAGES[kind].max_body
    good = msgpack.unpackb(encode(SAMPLES[kind]))
    big = body(*good[:2], b"x" * most, *good[3:])
    with pytest.raises(
        RemoteProtocolError, match=f"{kind.__name__}: body of {len(big)}"
    ):
        decode(big)


def test_largest_toolstack_state_fits() -> None:
    for message in (
        Answer(bytes(DATA_MAX)),
        ToolstackRestore(2**32 - 1, bytes(DATA_MAX)),
    ):
        encoded = encode(message, 2**32 - 1)
        assert BODY_MAX < len(encoded) <= LARGE_BODY_MAX
        assert decode(encoded) == (message, 2**32 - 1)


def test_only_messages_are_sent() -> None:
    with pytest.raises(LocalProtocolError, match="Message is no message"):
        encode(Message())
    with pytest.raises(LocalProtocolError, match="str is no message"):
        encode("Suspend")  # type: ignore[arg-type]


def test_hello_of_a_later_version_may_have_more_fields() -> None:
    good = msgpack.unpackb(encode(HELLO))
    later = [*good, {}, "more"][:10]
    later[2] = 2
    message, _ = decode(body(*later[:9], 7, "more"))
    assert message == HELLO.replace(version=2)


@pytest.mark.parametrize("version", [True, "2", None])
def test_hello_whose_version_is_no_number_may_not(version: object) -> None:
    good = msgpack.unpackb(encode(HELLO))
    good[2] = version
    with pytest.raises(RemoteProtocolError):
        decode(body(*good, 7))


def test_hello_without_any_field() -> None:
    with pytest.raises(RemoteProtocolError, match="Hello has 0 fields"):
        decode(body(32, 0))


def test_hello_defaults_say_what_we_take() -> None:
    assert Hello(1, 1, "x").max_body == LARGE_BODY_MAX


def largest(field: Field) -> object:
    """The value of a field that needs the most bytes."""
    match field:
        case String(most=most):
            return "x" * most
        case Data(most=most):
            return bytes(most)
        case Row(item=item):
            return (largest(item),) * ITEMS_MAX
        case Whole(high=high):
            return high
        case Choice(kind=kind):
            return max(kind)
        case Reply():
            return bytes(DATA_MAX)
        case _:
            return True


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_what_fits_its_fields_fits_a_body(kind: type[Message]) -> None:
    message = kind(*(largest(field) for _, field in FIELDS[kind]))
    data = encode(message, 2**32 - 1)
    assert len(data) <= MESSAGES[kind].max_body
    assert decode(data) == (message, 2**32 - 1)


@pytest.mark.parametrize("count", [ITEMS_MAX, 20000])
def test_announced_arrays_cost_no_memory(count: int) -> None:
    """1 MiB of array headers, each of which announces ``count`` items."""
    data = b"\x93\x22\x01" + (b"\xdc" + count.to_bytes(2, "big")) * (DATA_MAX // 3)
    tracemalloc.start()
    with pytest.raises(RemoteProtocolError):
        decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * DATA_MAX
