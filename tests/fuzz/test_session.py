"""Any bytes give the same events or the same RemoteProtocolError, however cut."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libxlpy_protocol.codec import decode, encode
from libxlpy_protocol.enums import Flow, Mode, Op, Side
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.messages import (
    Abort,
    Answer,
    Complete,
    DomainOp,
    Log,
    Message,
    OpResult,
    Postcopy,
    RestoreResults,
    Start,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackSave,
)
from libxlpy_protocol.session import Event, Session
from libxlpy_protocol.states import State
from libxlpy_protocol.table import MESSAGES
from tests.fuzz.strategies import GOOD_MESSAGES, STREAMS, cuts, damaged
from tests.support.conversation import (
    EVERY_CALL,
    HELLO,
    SAMPLES,
    Pair,
    hear,
    next_id,
    reach,
)

H, P = Side.HELPER, Side.PARENT
PLACES = st.lists(st.integers(0, 10000), max_size=8)
Outcome = tuple[list[Event], str, bytes, State]


def outcome(session: Session, pieces: Iterable[bytes]) -> Outcome:
    """All that a session says of its input; only RemoteProtocolError may come out."""
    events: list[Event] = []
    try:
        for piece in (*pieces, b""):
            session.receive(piece)
            while event := session.next_event():
                events.append(event)
    except RemoteProtocolError as exc:
        return events, str(exc), exc.frame, session.state
    return events, "", b"", session.state


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def pieces_of(data: bytes) -> list[bytes]:
    return [data] if data else []


@given(
    state=st.sampled_from([s for s in State if s not in (State.CLOSED, State.ERROR)]),
    mode=st.sampled_from([Mode.SAVE, Mode.RESTORE, Mode.REMUS]),
    side=st.sampled_from([H, P]),
    data=STREAMS,
    places=PLACES,
)
def test_any_bytes(
    state: State, mode: Mode, side: Side, data: bytes, places: list[int]
) -> None:
    def fresh() -> Session:
        return reach(state, mode, open_call=True, open_op=True).of(side)

    whole = outcome(fresh(), pieces_of(data))
    _, text, _, after = whole
    assert after is (State.ERROR if text else State.CLOSED)
    assert len(text) < 400
    assert "\n" not in text
    assert outcome(fresh(), single(data)) == whole
    assert outcome(fresh(), cuts(data, places)) == whole


Step = tuple[Side, Message, int]

SAVE: list[Step] = [
    (H, HELLO, 0),
    (H, Log(4, -1, "", "opened"), 0),
    (P, HELLO, 0),
    (P, Start(Mode.SAVE, 5, callback_mask=EVERY_CALL), 0),
    (H, SwitchQemuLogdirty(5, True), 1),
    (P, Answer(0), 1),
    (P, DomainOp(Op.INFO, 5), 1),
    (H, OpResult(0, 0, (5, 32), bytes(16)), 1),
    (H, Suspend(), 2),
    (P, Answer(1), 2),
    (H, ToolstackSave(5), 3),
    (P, Answer(b"x" * 300), 3),
    (H, Complete(0, 0, False), 0),
]
RESTORE: list[Step] = [
    *SAVE[:3],
    (P, Start(Mode.RESTORE, 5, callback_mask=EVERY_CALL), 0),
    (H, StaticDataDone(3), 1),
    (P, Answer(0), 1),
    (H, RestoreResults(1, 2), 0),
    (H, Complete(0, 0, False), 0),
]
REMUS: list[Step] = [
    *SAVE[:3],
    (P, Start(Mode.REMUS, 5, callback_mask=EVERY_CALL), 0),
    (H, Suspend(), 1),
    (P, Answer(1), 1),
    (H, Postcopy(), 2),
    (P, Abort("stop"), 0),
    (P, Answer(0), 2),
    (H, Complete(-1, 4, True), 0),
]


def until(steps: list[Step], end: int) -> Pair:
    """A pair that has had the first ``end`` steps."""
    pair = Pair()
    for side, message, call_id in steps[:end]:
        asks = MESSAGES[type(message)].flow in (Flow.CALL, Flow.OP)
        pair.say(side, message, 0 if asks else call_id)
    return pair


@given(data=st.data(), steps=st.sampled_from([SAVE, RESTORE, REMUS]), places=PLACES)
def test_damaged_conversation(
    data: st.DataObject, steps: list[Step], places: list[int]
) -> None:
    """At each step of a good conversation the rest of one side's bytes is damaged."""
    at = data.draw(st.integers(0, len(steps) - 1))
    sender = steps[at][0]
    rest = []
    for side, message, call_id in steps[at:]:
        if side is not sender:
            break
        body = encode(message, call_id)
        rest.append(len(body).to_bytes(4, "big") + body)
    bad = data.draw(damaged(b"".join(rest)))
    receiver = sender.peer
    whole = outcome(until(steps, at).of(receiver), pieces_of(bad))
    assert outcome(until(steps, at).of(receiver), single(bad)) == whole
    assert outcome(until(steps, at).of(receiver), cuts(bad, places)) == whole


CONVERSATIONS = {"save": SAVE, "restore": RESTORE, "remus": REMUS}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_good_conversation_byte_by_byte(name: str) -> None:
    pair = Pair()
    for side, message, call_id in CONVERSATIONS[name]:
        asks = MESSAGES[type(message)].flow in (Flow.CALL, Flow.OP)
        *early, last = single(pair.of(side).send(message, 0 if asks else call_id))
        receiver = pair.of(side.peer)
        assert not any(hear(receiver, byte) for byte in early)
        assert hear(receiver, last) == [Event(message, call_id)]
    assert pair.parent.state is pair.helper.state is State.COMPLETED


@given(message=GOOD_MESSAGES, call_id=st.integers(0, 2**32 - 1))
def test_any_message_survives_the_wire(message: Message, call_id: int) -> None:
    assert decode(encode(message, call_id)) == (message, call_id)


class Wire:
    """Two sessions whose frames are under way for as long as the test likes."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.pair = Pair()
        self.under_way: dict[Side, list[bytes]] = {H: [], P: []}

    def send(self, side: Side, message: Message) -> None:
        """Send if we may; the rules say whether."""
        session = self.pair.of(side)
        if isinstance(message, Start):
            message = Start(self.mode, callback_mask=EVERY_CALL)
        flow = MESSAGES[type(message)].flow
        answers = flow in (Flow.ANSWER, Flow.OP_RESULT)
        call_id = next_id(type(message), session) if answers else 0
        try:
            data = session.send(message, call_id)
        except LocalProtocolError:
            return
        self.under_way[side.peer].append(data)

    def deliver(self, side: Side) -> None:
        """Let the oldest frame arrive: it must be good, since it could be sent."""
        if self.under_way[side]:
            hear(self.pair.of(side), self.under_way[side].pop(0))


#: The more often a message is here, the longer the conversations get.
CHOICES: list[Message] = [
    *SAMPLES.values(),
    *[HELLO, SAMPLES[Start], Suspend(), Answer(1), Answer(0), Answer(None)] * 4,
    Complete(0, 0, False),
]
MOVES = st.one_of(
    st.tuples(st.sampled_from([H, P]), st.sampled_from(CHOICES)),
    st.tuples(st.sampled_from([H, P]), st.none()),
)


@given(
    mode=st.sampled_from(Mode),
    greeted=st.booleans(),
    moves=st.lists(MOVES, min_size=20, max_size=80),
)
def test_what_may_be_sent_is_taken_however_late_it_arrives(
    mode: Mode, greeted: bool, moves: list[tuple[Side, Message | None]]
) -> None:
    wire = Wire(mode)
    if greeted:
        wire.pair.start(mode)
    for side, message in moves:
        if message is None:
            wire.deliver(side)
        else:
            wire.send(side, message)
    for side in (H, P):
        while wire.under_way[side]:
            wire.deliver(side)
    assert wire.pair.parent.state is wire.pair.helper.state
