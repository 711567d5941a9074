"""What a peer may send: junk, near misses, and good messages of any content."""

from typing import Any

import msgpack
from hypothesis import strategies as st

from libxlpy_protocol.codec import encode
from libxlpy_protocol.fields import (
    ITEMS_MAX,
    Choice,
    Data,
    Field,
    Reply,
    Row,
    String,
    Switch,
    Whole,
)
from libxlpy_protocol.framing import frame
from libxlpy_protocol.messages import Message
from libxlpy_protocol.table import FIELDS, NUMBERS
from tests.support.conversation import SAMPLES

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-2, 70)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=20)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(LEAVES, inner, max_size=2)
    ),
    max_leaves=8,
)


LETTERS = st.sampled_from("az\0/ é€\U0001f600")


def good_value(field: Field) -> st.SearchStrategy[Any]:
    """Any value that a field takes."""
    match field:
        case Whole(low=low, high=high):
            return st.integers(low, high)
        case Choice(kind=kind):
            return st.sampled_from(sorted(kind))
        case String(most=most, nul=nul):
            letters = LETTERS if nul else LETTERS.filter(lambda letter: letter != "\0")
            return st.text(letters, max_size=most // 4 if most < 1000 else 40)
        case Data(most=most):
            return st.binary(max_size=min(most, 40))
        case Row(item=item):
            return st.lists(good_value(item), max_size=ITEMS_MAX).map(tuple)
        case Reply():
            integers = st.integers(-(2**31), 2**31 - 1)
            return st.none() | st.binary(max_size=40) | integers
        case Switch():
            return st.booleans()
        case _:
            raise AssertionError(field)


def good_message(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Any message of one kind."""
    return st.builds(kind, *(good_value(field) for _, field in FIELDS[kind]))


GOOD_MESSAGES = st.one_of([good_message(kind) for kind in SAMPLES])
CALL_IDS = st.integers(0, 3)


@st.composite
def near_misses(draw: st.DrawFn) -> bytes:
    """A frame of a good message with one place changed to anything."""
    kind = draw(st.sampled_from(list(SAMPLES)))
    wire = msgpack.unpackb(encode(SAMPLES[kind], draw(CALL_IDS)))
    place = draw(st.integers(0, 1 + len(kind.names())))
    wire[place] = draw(VALUES)
    return frame(msgpack.packb(wire))


SAMPLE_FRAMES = st.builds(
    lambda kind, call_id: frame(encode(SAMPLES[kind], call_id)),
    st.sampled_from(list(SAMPLES)),
    CALL_IDS,
)
GOOD_FRAMES = st.builds(
    lambda message, call_id: frame(encode(message, call_id)), GOOD_MESSAGES, CALL_IDS
)
ODD_FRAMES = st.builds(
    lambda number, rest: frame(msgpack.packb([number, *rest])),
    st.sampled_from(list(NUMBERS)) | st.integers(0, 300),
    st.lists(VALUES, max_size=6),
)
RAW_FRAMES = st.binary(min_size=1, max_size=30).map(frame)
HEADS = st.builds(
    lambda size, rest: size.to_bytes(4, "big") + rest,
    st.integers(0, 2**32 - 1) | st.sampled_from([0, 65536, 65537, 1048640, 1048641]),
    st.binary(max_size=6) | st.sampled_from([b"\x93\x22", b"\x94\x2a", b"\x93\x03"]),
)
STREAMS = st.lists(
    SAMPLE_FRAMES
    | GOOD_FRAMES
    | near_misses()
    | ODD_FRAMES
    | RAW_FRAMES
    | HEADS
    | st.binary(max_size=12),
    max_size=6,
).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` with up to three bytes changed, left out or put in."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(found)))
        what = draw(st.sampled_from(["change", "leave", "put", "cut"]))
        if what == "put":
            found[at:at] = draw(st.binary(min_size=1, max_size=3))
        elif what == "leave":
            del found[at : at + 1]
        elif what == "cut":
            del found[at:]
        else:
            found[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
    return bytes(found)


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    """``data`` cut at the places (taken modulo its length); no piece is empty."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    pieces = [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    return [piece for piece in pieces if piece]
