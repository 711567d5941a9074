"""libxl's wire: its bytes, its bounds, its tables."""

import itertools
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libxlpy_protocol.enums import Flow, Mode
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import NAME_MAX, TEXT_MAX
from libxlpy_protocol.libxl.table import LIBXL_TABLES, NEWEST, CType, libxl_table
from libxlpy_protocol.libxl.wire import (
    AnswerBuffer,
    MessageBuffer,
    decode_libxl,
    encode_libxl,
)
from libxlpy_protocol.messages import (
    Checkpoint,
    Complete,
    Hello,
    Log,
    Message,
    Postcopy,
    PrecopyPolicy,
    Progress,
    RestoreResults,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackRestore,
    WaitCheckpoint,
)
from libxlpy_protocol.table import MESSAGES

SAMPLES: dict[type[Message], Message] = {
    type(sample): sample
    for sample in (
        Log(8, -1, "xc", "Save failed (32 = Broken pipe): Internal error"),
        Progress("xc", "Frames", 1024, 1 << 40),
        Suspend(),
        Postcopy(),
        Checkpoint(),
        WaitCheckpoint(),
        SwitchQemuLogdirty(7, True),
        StaticDataDone(3),
        ToolstackRestore(7, b"\0key\0value\0"),
        RestoreResults(0xFEFFC, 0xFEFFD),
        Complete(-1, 32, False),
    )
}
EACH = [(table, number) for table in LIBXL_TABLES for number in table.rules]


def name_of(value):
    return f"4.{value.first}" if hasattr(value, "first") else str(value)


# -- the bytes -------------------------------------------------------------------------


def test_bytes_are_packed_native_and_nul_terminated():
    frame = encode_libxl(Log(1, -1, "xc", "hé"))
    body = struct.pack("=HIi", 1, 1, -1) + b"\3\0\0\0xc\0" + b"\4\0\0\0h\xc3\xa9\0"
    assert frame == struct.pack("=H", len(body)) + body
    assert encode_libxl(Suspend()) == struct.pack("=HH", 2, 3)
    assert encode_libxl(SwitchQemuLogdirty(7, True)) == struct.pack(
        "=HHII", 10, 7, 7, 1
    )
    assert encode_libxl(Complete(-1, 9, False)) == struct.pack("=HHii", 10, 10, -1, 9)
    results = encode_libxl(RestoreResults(1, 2))
    assert results == struct.pack("=HHQQ", 18, 9, 1, 2)


@pytest.mark.parametrize(("table", "number"), EACH, ids=name_of)
def test_every_message_of_every_release_comes_back(table, number):
    sample = SAMPLES[table.rules[number].kind]
    frame = encode_libxl(sample, table)
    assert struct.unpack_from("=HH", frame) == (len(frame) - 2, number)
    assert decode_libxl(frame[2:], table) == sample


def test_aborted_operation_has_failed_whatever_libxc_returned():
    frame = encode_libxl(Complete(0, 0, True))
    assert decode_libxl(frame[2:]) == Complete(-1, 0, False)


def test_text_that_c_could_not_hold_is_escaped():
    frame = encode_libxl(Log(1, -1, "xc", "a\0b\udc80"))
    assert decode_libxl(frame[2:]) == Log(1, -1, "xc", "a\\0b\\x80")


def test_text_is_cut_to_our_fields_and_shown_whatever_its_bytes():
    body = struct.pack("=HIi", 1, 1, -1)
    for text in (b"c" * 300, b"\xff" + b"t" * 40000):
        body += struct.pack("=I", len(text) + 1) + text + b"\0"
    message = decode_libxl(body)
    assert isinstance(message, Log)
    assert message.context == "c" * NAME_MAX
    assert message.text.startswith("\\xffttt")
    assert len(message.text) == TEXT_MAX


# -- bounds ----------------------------------------------------------------------------

STRING = struct.pack("=I", 3) + b"xc\0"
BAD_BODIES = {
    "empty": (b"", "body of 0 bytes"),
    "half a number": (b"\1", "body of 1 bytes"),
    "number 0": (b"\0\0", "no message has the number 0"),
    "number past the last": (b"\13\0", "no message has the number 11"),
    "call with bytes": (b"\3\0x", "Suspend: body of 3 bytes, not 2"),
    "complete too short": (struct.pack("=Hi", 10, 0), "Complete: body of 6 bytes"),
    "log too short": (struct.pack("=HII", 1, 1, 1), "Log: body of 10 bytes"),
    "string past the end": (
        struct.pack("=HIi", 1, 1, -1) + struct.pack("=I", 99) + b"xc\0" + STRING,
        "Log.context of 99 bytes, 10 are left",
    ),
    "string of size 0": (
        struct.pack("=HIi", 1, 1, -1) + bytes(4) + STRING,
        "Log.context does not end at its first NUL",
    ),
    "string without NUL": (
        struct.pack("=HIi", 1, 1, -1) + struct.pack("=I", 2) + b"xc" + STRING,
        "Log.context does not end",
    ),
    "string with NUL inside": (
        struct.pack("=HIi", 1, 1, -1) + STRING + struct.pack("=I", 3) + b"a\0\0",
        "Log.text does not end",
    ),
    "bytes after the last": (
        struct.pack("=HIi", 1, 1, -1) + STRING + STRING + b"!",
        "Log: 1 bytes after the last argument",
    ),
    "level past our field": (
        struct.pack("=HIi", 1, 256, -1) + STRING + STRING,
        "Log.level is 256, outside 0..255",
    ),
    "flag of 2": (struct.pack("=HII", 7, 7, 2), "SwitchQemuLogdirty.enable is 2"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_body_is_refused(case):
    body, text = BAD_BODIES[case]
    with pytest.raises(RemoteProtocolError, match=re.escape(text)) as caught:
        decode_libxl(body)
    assert caught.value.frame == struct.pack("=H", len(body)) + body


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (struct.pack("=H", 1), "body of 1 bytes"),
        (struct.pack("=HH", 0xFFFF, 11), "no message has the number 11"),
        (struct.pack("=HH", 0xFFFF, 3), "Suspend: body of 65535 bytes, not 2"),
        (struct.pack("=HH", 11, 1), "Log: body of 11 bytes, not 20"),
    ],
)
def test_frame_that_cannot_be_good_is_not_waited_for(head, text):
    buffer = MessageBuffer()
    buffer.feed(head[:-1])
    assert buffer.next_body() is None
    buffer.feed(head[-1:])
    with pytest.raises(RemoteProtocolError, match=text) as caught:
        buffer.next_body()
    assert caught.value.frame == head


def test_end_of_file_inside_a_frame_or_an_answer_is_truncation():
    for cut in range(1, 4):
        messages, answers = MessageBuffer(), AnswerBuffer()
        for buffer in (messages, answers):
            buffer.feed(encode_libxl(Suspend())[:cut])
        assert (messages.next_body(), answers.next_answer()) == (None, None)
        for buffer in (messages, answers):
            with pytest.raises(RemoteProtocolError, match=f"truncated.* {cut} bytes"):
                buffer.end()
    MessageBuffer().end()
    AnswerBuffer().end()


def test_what_the_wire_cannot_carry_is_our_error():
    with pytest.raises(LocalProtocolError, match="Hello is not on libxl's wire"):
        encode_libxl(Hello(1, 1, "x"))
    with pytest.raises(LocalProtocolError, match="PrecopyPolicy is not on"):
        encode_libxl(PrecopyPolicy(0, 0, 0))
    with pytest.raises(LocalProtocolError, match="body of 65548 bytes"):
        encode_libxl(ToolstackRestore(1, bytes(0x10002)), libxl_table(5))
    with pytest.raises(LocalProtocolError, match=r"Log\.level is -1, no uint32_t"):
        encode_libxl(Log(-1, 0, "", ""))


# -- tables ----------------------------------------------------------------------------


def test_newest_numbers_are_those_of_our_own_protocol():
    for number, rule in NEWEST.rules.items():
        assert MESSAGES[rule.kind].number == number
        asks = MESSAGES[rule.kind].flow is Flow.CALL
        assert rule.answered == (asks or rule.kind is Complete)
        assert rule.is_callback == bool(MESSAGES[rule.kind].mirrors)


def test_tables_follow_one_another():
    assert LIBXL_TABLES[0].first == 2
    for before, after in itertools.pairwise(LIBXL_TABLES):
        assert before.last is not None
        assert after.first == before.last + 1
    assert NEWEST.last is None
    with pytest.raises(ValueError, match=r"Xen 4\.1 has no save helper"):
        libxl_table(1)


@pytest.mark.parametrize(
    ("minor", "complete", "results", "toolstack"),
    [
        *[(minor, 9, 8, 7) for minor in (2, 3, 4, 5)],
        (6, 8, 7, None),
        *[(minor, 9, 8, None) for minor in (7, 13)],
        *[(minor, 10, 9, None) for minor in (14, 17, 30)],
    ],
)
def test_numbers_moved_with_the_releases(minor, complete, results, toolstack):
    table = libxl_table(minor)
    assert table.number_of(Complete) == complete
    assert table.number_of(RestoreResults) == results
    assert table.number_of(ToolstackRestore) == toolstack
    genid = ("", CType.ULONG) in table.rules[results].args
    assert genid == (minor < 5)
    both = table.rules[5].modes >= {Mode.SAVE, Mode.RESTORE}
    assert both == (minor >= 6)


# -- fuzz ------------------------------------------------------------------------------


def cut_up(data: bytes, sizes: list[int], table=NEWEST):
    """Feed bytes in pieces; give what came out, the error as its last part."""
    buffer, out, rest = MessageBuffer(table), [], data
    pieces = []
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    try:
        for piece in [*pieces, rest]:
            buffer.feed(piece)
            while (body := buffer.next_body()) is not None:
                out.append(decode_libxl(body, table))
        buffer.end()
    except RemoteProtocolError as exc:
        return out, str(exc), exc.frame
    return out, None, b""


FRAMES = st.sampled_from([encode_libxl(sample) for kind, sample in SAMPLES.items()
                          if NEWEST.number_of(kind)])  # fmt: skip
NEAR = st.lists(FRAMES | st.binary(max_size=12), max_size=6).map(b"".join)


@given(data=NEAR | st.binary(max_size=200), sizes=st.lists(st.integers(0, 9)))
def test_any_bytes_however_cut_give_the_same(data, sizes):
    whole = cut_up(data, [])
    assert cut_up(data, [1] * len(data)) == whole
    assert cut_up(data, sizes) == whole


@given(st.lists(st.sampled_from(list(SAMPLES.values())), max_size=8), st.data())
def test_any_messages_come_back_however_cut(messages, data):
    table = data.draw(st.sampled_from(LIBXL_TABLES))
    messages = [m for m in messages if table.number_of(type(m))]
    wire = b"".join(encode_libxl(m, table) for m in messages)
    sizes = data.draw(st.lists(st.integers(0, 20)))
    assert cut_up(wire, sizes, table) == (messages, None, b"")


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), st.integers(1, 7))
def test_answers_come_back_however_cut(values, size):
    wire = struct.pack(f"={len(values)}i", *values)
    buffer, out = AnswerBuffer(), []
    for at in range(0, len(wire), size):
        buffer.feed(wire[at : at + size])
        while (value := buffer.next_answer()) is not None:
            out.append(value)
    buffer.end()
    assert out == values
