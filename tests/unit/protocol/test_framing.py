"""Length prefix: cut anywhere, bounded before anything is stored."""

import pytest

from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.fields import BODY_MAX, LARGE_BODY_MAX
from libxlpy_protocol.framing import FrameBuffer, frame
from libxlpy_protocol.table import MESSAGES

LARGE = {34: "Answer", 42: "ToolstackRestore"}


def test_frame_is_length_and_body() -> None:
    assert frame(b"abc") == b"\0\0\0\3abc"


def test_bodies_come_out_however_the_bytes_are_cut() -> None:
    bodies = [b"a", b"bc" * 700, b"d" * BODY_MAX]
    data = b"".join(map(frame, bodies))
    for step in (1, 2, 3, 1000, len(data)):
        buffer, found = FrameBuffer(), []
        for at in range(0, len(data), step):
            buffer.feed(data[at : at + step])
            while (body := buffer.next_body()) is not None:
                found.append(body)
        assert found == bodies
        buffer.end()


@pytest.mark.parametrize("size", [0, LARGE_BODY_MAX + 1, 2**32 - 1])
def test_impossible_length_is_refused_from_the_prefix_alone(size: int) -> None:
    buffer = FrameBuffer()
    prefix = size.to_bytes(4, "big")
    buffer.feed(prefix[:3])
    assert buffer.next_body() is None
    buffer.feed(prefix[3:] + b"more")
    with pytest.raises(RemoteProtocolError, match=f"body of {size} bytes") as info:
        buffer.next_body()
    assert info.value.frame == prefix


@pytest.mark.parametrize("number", range(1, 64))
def test_large_body_is_refused_by_its_number(number: int) -> None:
    size = BODY_MAX + 1
    head = size.to_bytes(4, "big") + bytes([0x93, number])
    buffer = FrameBuffer()
    buffer.feed(head[:5])
    assert buffer.next_body() is None
    buffer.feed(head[5:])
    if number in LARGE:
        assert buffer.next_body() is None
        buffer.feed(bytes(size - 2))
        assert len(buffer.next_body() or b"") == size
        return
    with pytest.raises(RemoteProtocolError) as info:
        buffer.next_body()
    assert info.value.frame == head
    names = {rule.number: kind.__name__ for kind, rule in MESSAGES.items()}
    assert names.get(number, "no known message") in str(info.value)


@pytest.mark.parametrize("header", [0x00, 0x80, 0xA3, 0xDC, 0xFF])
def test_large_body_must_begin_with_a_short_array(header: int) -> None:
    buffer = FrameBuffer()
    buffer.feed((BODY_MAX + 1).to_bytes(4, "big") + bytes([header, 34]))
    with pytest.raises(RemoteProtocolError, match="no known message"):
        buffer.next_body()


@pytest.mark.parametrize("size", range(1, 8))
def test_end_inside_a_frame(size: int) -> None:
    buffer = FrameBuffer()
    data = frame(b"abcdef")[:size]
    buffer.feed(data)
    assert buffer.next_body() is None
    with pytest.raises(RemoteProtocolError, match=rf"truncated.* {size} bytes") as info:
        buffer.end()
    assert info.value.frame == data
