"""Who may speak when on libxl's wire: every cell, both ends."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libxlpy_protocol.enums import Mode
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.libxl.session import (
    LIBXL_TRANSITIONS,
    Act,
    LibxlHelperSession,
    LibxlParentSession,
    LibxlState,
)
from libxlpy_protocol.libxl.wire import encode_libxl
from libxlpy_protocol.messages import (
    Answer,
    Complete,
    Hello,
    Log,
    Progress,
    RestoreResults,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
)
from libxlpy_protocol.session import Event
from libxlpy_protocol.table import callback_mask
from tests.support.conversation import hear

MASK = callback_mask([Suspend, SwitchQemuLogdirty, StaticDataDone])
NOTE = Log(1, -1, "xc", "note")
NEWS = Progress("xc", "Frames", 1, 2)
DONE = Complete(0, 0, False)
OK = struct.pack("=i", 1)
ACTS = {Act.LOG: NOTE, Act.NOTICE: NEWS, Act.CALL: Suspend(), Act.COMPLETE: DONE}
WAYS = {
    LibxlState.RUNNING: [],
    LibxlState.CALLING: [Suspend()],
    LibxlState.COMPLETING: [DONE],
    LibxlState.COMPLETED: [DONE, Answer(0)],
    LibxlState.CLOSED: [None],
}


def pair(mode=Mode.SAVE, mask=MASK):
    return LibxlHelperSession(mode, mask), LibxlParentSession(mode, mask)


def go(helper, parent, messages):
    for message in messages:
        if message is None:
            hear(helper, b"")
            hear(parent, b"")
        elif isinstance(message, Answer):
            hear(helper, parent.send(message, parent.open_call))
        else:
            hear(parent, helper.send(message))


def test_half_a_message_is_known_by_its_number():
    _, parent = pair()
    frame = encode_libxl(NOTE)
    for number in (1, 2):
        assert parent.half_message == 0
        for at in range(len(frame)):
            hear(parent, frame[at : at + 1])
            assert parent.half_message == (number if at < len(frame) - 1 else 0)
    hear(parent, frame + frame[:3])
    assert parent.half_message == 4


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("act", ACTS)
def test_helper_says_what_the_table_has_and_nothing_else(state, act):
    helper, parent = pair()
    go(helper, parent, WAYS[state])
    assert (helper.state, parent.state) == (state, state)
    after = LIBXL_TRANSITIONS[state].get(act)
    frame = encode_libxl(ACTS[act])
    if after is None:
        with pytest.raises(LocalProtocolError, match=f"in state {state.name}"):
            helper.send(ACTS[act])
        assert helper.state is state
        error = (
            LocalProtocolError if state is LibxlState.CLOSED else RemoteProtocolError
        )
        with pytest.raises(error):
            hear(parent, frame)
        return
    assert helper.send(ACTS[act]) == frame
    [event] = hear(parent, frame)
    assert event.message == ACTS[act]
    assert (helper.state, parent.state) == (after, after)


@pytest.mark.parametrize("state", WAYS)
def test_parent_answers_what_is_open_and_nothing_else(state):
    helper, parent = pair()
    go(helper, parent, WAYS[state])
    if Act.ANSWER in LIBXL_TRANSITIONS[state]:
        assert parent.send(Answer(1), parent.open_call) == OK
        assert hear(helper, OK) == [Event(Answer(1), helper.last_call_id)]
        assert helper.state is parent.state is LIBXL_TRANSITIONS[state][Act.ANSWER]
        return
    with pytest.raises(LocalProtocolError):
        parent.send(Answer(1), 1)
    if state is not LibxlState.CLOSED:
        with pytest.raises(RemoteProtocolError, match="Answer by the parent in state"):
            hear(helper, OK[:1])
        assert helper.state is LibxlState.ERROR


def test_error_is_for_ever_and_the_good_before_it_is_not_lost():
    _, parent = pair()
    bad = b"\2\0\xff\0"
    parent.receive(encode_libxl(NOTE) + bad + encode_libxl(NOTE))
    assert parent.next_event() == Event(NOTE, 0)
    with pytest.raises(RemoteProtocolError, match="number 255"):
        parent.next_event()
    with pytest.raises(RemoteProtocolError, match="number 255") as again:
        hear(parent, b"")
    assert again.value.frame == bad
    assert parent.state is LibxlState.ERROR


def test_mode_and_mask_are_kept_by_both_ends():
    helper, parent = pair(Mode.RESTORE)
    for message, text in (
        (SwitchQemuLogdirty(1, True), "in mode RESTORE"),
        (Suspend(), ""),
    ):
        if text:
            with pytest.raises(LocalProtocolError, match=text):
                helper.send(message)
    helper, parent = pair(mask=0)
    with pytest.raises(LocalProtocolError, match="not in the callback mask"):
        helper.send(Suspend())
    with pytest.raises(RemoteProtocolError, match="not in the callback mask") as caught:
        hear(parent, encode_libxl(Suspend()))
    assert caught.value.frame == encode_libxl(Suspend())


def test_results_need_no_mask_and_no_answer():
    helper, parent = pair(Mode.RESTORE, 0)
    go(helper, parent, [RestoreResults(1, 2), DONE])
    assert parent.state is LibxlState.COMPLETING


@pytest.mark.parametrize("value", [None, b"", True, 1 << 31])
def test_answer_is_one_int(value):
    helper, parent = pair()
    go(helper, parent, [Suspend()])
    with pytest.raises(LocalProtocolError, match="Answer"):
        parent.send(Answer(value), parent.open_call)
    assert parent.state is LibxlState.CALLING


def test_what_has_no_form_here_is_not_sent():
    helper, parent = pair()
    with pytest.raises(LocalProtocolError, match="Hello has no form here"):
        parent.send(Hello(1, 1, "x"))
    with pytest.raises(LocalProtocolError, match="not on libxl's wire"):
        helper.send(Hello(1, 1, "x"))
    with pytest.raises(LocalProtocolError, match="answers nothing"):
        helper.send(NOTE, 3)


def heard(session, data, size):
    """Feed bytes in pieces; give events and the error, if there was one."""
    events = []
    try:
        for piece in (*(data[at : at + size] for at in range(0, len(data), size)), b""):
            session.receive(piece)
            while event := session.next_event():
                events.append(event)
    except RemoteProtocolError as exc:
        return events, str(exc), exc.frame
    return events, None, session.state


FRAMES = [encode_libxl(m) for m in (NOTE, Suspend(), DONE, SwitchQemuLogdirty(1, True))]


@given(st.lists(st.sampled_from(FRAMES) | st.binary(max_size=6)).map(b"".join))
def test_parent_hears_the_same_however_the_bytes_are_cut(data):
    whole = heard(pair()[1], data, max(1, len(data)))
    assert heard(pair()[1], data, 1) == whole
    assert heard(pair()[1], data, 5) == whole


@given(st.binary(max_size=12), st.sampled_from([s for s in WAYS if WAYS[s] != [None]]))
def test_helper_hears_the_same_however_the_bytes_are_cut(data, state):
    out = []
    for size in (max(1, len(data)), 1, 3):
        helper, parent = pair()
        go(helper, parent, WAYS[state])
        out.append(heard(helper, data, size))
    assert out[0] == out[1] == out[2]
