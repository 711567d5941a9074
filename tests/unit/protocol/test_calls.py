"""Call ids and answers: which call is made, and what may answer it."""

import pytest

from libxlpy_protocol.enums import Flow, Mode, Side
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import DATA_MAX
from libxlpy_protocol.messages import (
    Answer,
    Checkpoint,
    Complete,
    Message,
    PrecopyPolicy,
    Release,
    Start,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackRestore,
    ToolstackSave,
)
from libxlpy_protocol.states import State
from libxlpy_protocol.table import CALLS, MESSAGES, callback_mask
from tests.support.conversation import (
    EVERY_CALL,
    HELLO,
    MODE_OF,
    SAMPLES,
    Pair,
    hear,
    wire,
)

H, P = Side.HELPER, Side.PARENT


# -- Call ids ----------------------------------------------------------------------


@pytest.mark.parametrize("call_id", [0, 1, 3, 2**32 - 1])
def test_a_call_carries_the_next_id(call_id: int) -> None:
    pair = Pair().start(Mode.SAVE).call()
    pair.say(P, Answer(1), 1)
    with pytest.raises(RemoteProtocolError, match=f"has id {call_id}, not 2"):
        hear(pair.parent, wire(Suspend(), call_id))
    if call_id:
        with pytest.raises(LocalProtocolError, match=f"has id {call_id}, not 2"):
            pair.helper.send(Suspend(), call_id)
    assert pair.helper.last_call_id == 1
    pair.helper.send(Suspend(), 2)
    assert pair.helper.last_call_id == 2


@pytest.mark.parametrize("call_id", [0, 2, 2**32 - 1])
def test_an_answer_carries_the_id_of_the_open_call(call_id: int) -> None:
    pair = Pair().start(Mode.SAVE).call()
    text = f"Answer to call {call_id}, open is 1"
    with pytest.raises(LocalProtocolError, match=text):
        pair.parent.send(Answer(1), call_id)
    with pytest.raises(RemoteProtocolError, match=text):
        hear(pair.helper, wire(Answer(1), call_id))


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_what_is_no_question_carries_no_id(kind: type[Message]) -> None:
    flow = MESSAGES[kind].flow
    if flow not in (Flow.NOTICE, Flow.HELLO, Flow.START):
        return
    pair = Pair()
    if flow is Flow.NOTICE:
        pair.start(MODE_OF[kind])
    if kind is Release:
        pair.say(H, Complete(0, 0, False))
    if flow is Flow.START:
        pair.say(H, HELLO)
        pair.say(P, HELLO)
    sender = P if P in MESSAGES[kind].sender else H
    text = f"{kind.__name__} has call id 1, not 0"
    with pytest.raises(LocalProtocolError, match=text):
        pair.of(sender).send(SAMPLES[kind], 1)
    with pytest.raises(RemoteProtocolError, match=text):
        hear(pair.of(sender.peer), wire(SAMPLES[kind], 1))


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.__name__)
def test_only_calls_in_the_callback_mask_are_made(kind: type[Message]) -> None:
    others = callback_mask(set(CALLS) - {kind})
    pair = Pair().start(MODE_OF[kind], callback_mask=others)
    text = f"{kind.__name__} is not in the callback mask"
    with pytest.raises(LocalProtocolError, match=text):
        pair.helper.send(SAMPLES[kind])
    with pytest.raises(RemoteProtocolError, match=text):
        hear(pair.parent, wire(SAMPLES[kind], 1))


@pytest.mark.parametrize("bit", set(range(64)) - {3, 4, 5, 6, 7, 8, 36, 37, 42, 44})
def test_callback_mask_has_bits_of_calls_only(bit: int) -> None:
    pair = Pair()
    pair.say(H, HELLO)
    pair.say(P, HELLO)
    start = Start(Mode.SAVE, callback_mask=EVERY_CALL | 1 << bit)
    with pytest.raises(LocalProtocolError, match="callback_mask"):
        pair.parent.send(start)
    with pytest.raises(RemoteProtocolError, match="callback_mask"):
        hear(pair.helper, wire(start))


# -- Answers -----------------------------------------------------------------------

GOOD_ANSWERS: dict[type[Message], list[int | bytes | None]] = {
    Suspend: [0, 1],
    PrecopyPolicy: [-1, 0, 1],
    Checkpoint: [-(2**31), -1, 0, 1, 2, 2**31 - 1],
    SwitchQemuLogdirty: [0, -1, 1],
    ToolstackSave: [None, b"", bytes(DATA_MAX)],
    ToolstackRestore: [0, -1],
}
BAD_ANSWERS: dict[type[Message], list[int | bytes | None]] = {
    Suspend: [-1, 2, None, b"", b"1"],
    PrecopyPolicy: [-2, 2, None],
    Checkpoint: [None, b""],
    SwitchQemuLogdirty: [None, b""],
    ToolstackSave: [0, 1, -1],
    ToolstackRestore: [None, b""],
}


def cells(
    table: dict[type[Message], list[int | bytes | None]],
) -> list[tuple[type[Message], int | bytes | None]]:
    return [(kind, value) for kind, values in table.items() for value in values]


@pytest.mark.parametrize(("kind", "value"), cells(GOOD_ANSWERS))
def test_good_answer(kind: type[Message], value: int | bytes | None) -> None:
    pair = Pair().start(MODE_OF[kind])
    pair.say(H, SAMPLES[kind])
    pair.say(P, Answer(value), 1)
    assert pair.helper.state is State.RUNNING


@pytest.mark.parametrize(("kind", "value"), cells(BAD_ANSWERS))
def test_bad_answer(kind: type[Message], value: int | bytes | None) -> None:
    pair = Pair().start(MODE_OF[kind])
    pair.say(H, SAMPLES[kind])
    text = f"Answer to {kind.__name__} is "
    with pytest.raises(LocalProtocolError, match=text):
        pair.parent.send(Answer(value), 1)
    assert pair.parent.open_call == 1
    assert pair.parent.state is State.CALLING
    with pytest.raises(RemoteProtocolError, match=text):
        hear(pair.helper, wire(Answer(value), 1))
