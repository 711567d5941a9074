"""Ids, modes, once-only, aborts, ends: what the transition table does not say."""

import pytest

from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.ledger import MAX_OPS
from libxlpy_protocol.messages import (
    BODY_MAX,
    CALLS,
    DATA_MAX,
    MESSAGES,
    Abort,
    Answer,
    Checkpoint,
    Complete,
    DomainOp,
    Flow,
    Hello,
    Log,
    Message,
    Mode,
    Op,
    OpResult,
    Phase,
    Postcopy,
    PrecopyPolicy,
    Progress,
    Release,
    RestoreResults,
    Side,
    Start,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackRestore,
    ToolstackSave,
    WaitCheckpoint,
    callback_mask,
)
from libxlpy_protocol.session import HelperSession, ParentSession
from libxlpy_protocol.states import State
from tests.unit.protocol.conversation import (
    EVERY_CALL,
    HELLO,
    MODE_OF,
    SAMPLES,
    Pair,
    next_id,
    wire,
)

H, P = Side.HELPER, Side.PARENT

# -- Whole conversations -----------------------------------------------------------


def test_save_from_hello_to_end() -> None:
    pair = Pair()
    assert pair.parent.mode is None
    pair.start(Mode.SAVE)
    assert pair.parent.mode is pair.helper.mode is Mode.SAVE
    assert pair.helper.start is not None
    for call, value in (
        (SwitchQemuLogdirty(5, True), 0),
        (PrecopyPolicy(0, 0, -1), 0),
        (Suspend(), 1),
        (SwitchQemuLogdirty(5, False), 0),
        (ToolstackSave(5), b"physmap"),
    ):
        pair.say(H, Log(4, -1, "xc", "before"))
        pair.say(H, call)
        assert pair.parent.open_call == pair.helper.open_call
        assert pair.helper.open_call == pair.helper.last_call_id
        pair.say(H, SAMPLES[Progress])
        pair.say(P, Answer(value), pair.helper.last_call_id)
        assert pair.parent.open_call is None
    pair.say(H, Complete(0, 0, False))
    assert pair.helper.last_call_id == 5
    assert pair.parent.receive(b"") == []
    assert pair.parent.state is State.CLOSED


def test_restore_from_hello_to_end() -> None:
    pair = Pair().start(Mode.RESTORE)
    pair.say(H, StaticDataDone(3))
    pair.say(P, Answer(0), 1)
    pair.say(H, RestoreResults(1, 2))
    pair.say(H, ToolstackRestore(5, bytes(DATA_MAX)))
    pair.say(P, Answer(0), 2)
    pair.say(H, Complete(0, 0, False))


def test_checkpoints_until_one_says_stop() -> None:
    pair = Pair().start(Mode.REMUS)
    for number, value in enumerate([1, 1, 1, 1, 1, 0]):
        call = (Suspend(), Postcopy(), Checkpoint())[number % 3]
        pair.say(H, call)
        pair.say(P, Answer(value), number + 1)
    pair.say(H, Complete(0, 0, False))


def test_ops_mode_has_ops_only_and_ends_by_eof() -> None:
    pair = Pair().start(Mode.OPS)
    pair.say(P, DomainOp(Op.INFO, 5))
    pair.say(H, Log(4, -1, "", "working"))
    pair.say(H, OpResult(-1, 3), 1)
    pair.helper.receive(b"")
    assert pair.helper.state is State.CLOSED


# -- Modes -------------------------------------------------------------------------

MODES = {
    Suspend: "SM",
    Postcopy: "M",
    Checkpoint: "RM",
    WaitCheckpoint: "RM",
    SwitchQemuLogdirty: "SM",
    StaticDataDone: "R",
    ToolstackSave: "SM",
    PrecopyPolicy: "SM",
    ToolstackRestore: "R",
    RestoreResults: "R",
    Progress: "SRM",
    Phase: "SRM",
    Complete: "SRM",
    Log: "SRMO",
    DomainOp: "SRMO",
    Abort: "SRM",
}
MODE_LETTERS = {
    Mode.SAVE: "S",
    Mode.RESTORE: "R",
    Mode.REMUS: "M",
    Mode.OPS: "O",
}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("kind", MODES, ids=lambda kind: kind.__name__)
def test_mode(kind: type[Message], mode: Mode) -> None:
    pair = Pair().start(mode)
    sender = P if kind in (DomainOp, Abort) else H
    call_id = next_id(kind, pair.of(sender))
    data = wire(SAMPLES[kind], call_id)
    if MODE_LETTERS[mode] in MODES[kind]:
        assert pair.of(sender.peer).receive(data)
        assert pair.of(sender).send(SAMPLES[kind]) == data
        return
    text = f"{kind.__name__} in mode {mode.name}"
    with pytest.raises(RemoteProtocolError, match=text):
        pair.of(sender.peer).receive(data)
    with pytest.raises(LocalProtocolError, match=text):
        pair.of(sender).send(SAMPLES[kind])


# -- Once --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RestoreResults, Complete, Start, Hello])
def test_once_only(kind: type[Message]) -> None:
    pair = Pair().start(Mode.RESTORE)
    sender = P if kind is Start else H
    if kind in (RestoreResults, Complete):
        pair.say(H, SAMPLES[kind])
    with pytest.raises(LocalProtocolError, match=f"{kind.__name__} repeated by the"):
        pair.of(sender).send(SAMPLES[kind])
    with pytest.raises(RemoteProtocolError, match=f"{kind.__name__} repeated by the"):
        pair.of(sender.peer).receive(wire(SAMPLES[kind]))


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_a_message_of_the_other_side_is_refused(kind: type[Message]) -> None:
    if kind is Hello:
        return
    wrong = MESSAGES[kind].sender.peer
    pair = Pair().start(MODE_OF[kind])
    with pytest.raises(LocalProtocolError, match="to send"):
        pair.of(wrong).send(SAMPLES[kind])
    with pytest.raises(RemoteProtocolError, match="to send"):
        pair.of(wrong.peer).receive(wire(SAMPLES[kind]))


# -- Call ids ----------------------------------------------------------------------


@pytest.mark.parametrize("call_id", [0, 1, 3, 2**32 - 1])
def test_a_call_carries_the_next_id(call_id: int) -> None:
    pair = Pair().start(Mode.SAVE).call()
    pair.say(P, Answer(1), 1)
    with pytest.raises(RemoteProtocolError, match=f"has id {call_id}, not 2"):
        pair.parent.receive(wire(Suspend(), call_id))
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
        pair.helper.receive(wire(Answer(1), call_id))


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
        pair.of(sender.peer).receive(wire(SAMPLES[kind], 1))


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.__name__)
def test_only_calls_in_the_callback_mask_are_made(kind: type[Message]) -> None:
    others = callback_mask(set(CALLS) - {kind})
    pair = Pair().start(MODE_OF[kind], callback_mask=others)
    text = f"{kind.__name__} is not in the callback mask"
    with pytest.raises(LocalProtocolError, match=text):
        pair.helper.send(SAMPLES[kind])
    with pytest.raises(RemoteProtocolError, match=text):
        pair.parent.receive(wire(SAMPLES[kind], 1))


@pytest.mark.parametrize("bit", set(range(64)) - {3, 4, 5, 6, 7, 8, 36, 37, 42, 44})
def test_callback_mask_has_bits_of_calls_only(bit: int) -> None:
    pair = Pair()
    pair.say(H, HELLO)
    pair.say(P, HELLO)
    start = Start(Mode.SAVE, callback_mask=EVERY_CALL | 1 << bit)
    with pytest.raises(LocalProtocolError, match="callback_mask"):
        pair.parent.send(start)
    with pytest.raises(RemoteProtocolError, match="callback_mask"):
        pair.helper.receive(wire(start))


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
        pair.helper.receive(wire(Answer(value), 1))


# -- Domain ops --------------------------------------------------------------------


def test_ops_are_answered_in_any_order() -> None:
    pair = Pair().start(Mode.SAVE)
    for domid in range(MAX_OPS):
        pair.say(P, DomainOp(Op.INFO, domid))
        assert pair.parent.last_call_id == domid + 1
    assert pair.helper.open_ops == set(range(1, MAX_OPS + 1))
    for call_id in (3, 1, 8, 2, 7, 4, 6, 5):
        pair.say(H, OpResult(0), call_id)
    assert pair.parent.open_ops == frozenset()
    pair.say(P, DomainOp(Op.PAUSE, 5))
    assert pair.parent.last_call_id == MAX_OPS + 1


def test_too_many_ops() -> None:
    pair = Pair().start(Mode.OPS)
    for _ in range(MAX_OPS):
        pair.say(P, DomainOp(Op.INFO, 5))
    with pytest.raises(LocalProtocolError, match="while 8 are open"):
        pair.parent.send(DomainOp(Op.INFO, 5))
    with pytest.raises(RemoteProtocolError, match="while 8 are open"):
        pair.helper.receive(wire(DomainOp(Op.INFO, 5), MAX_OPS + 1))


@pytest.mark.parametrize("call_id", [0, 1, 3])
def test_op_ids_count_up(call_id: int) -> None:
    pair = Pair().start(Mode.OPS)
    pair.say(P, DomainOp(Op.INFO, 5))
    pair.say(H, OpResult(0), 1)
    with pytest.raises(RemoteProtocolError, match=f"has id {call_id}, not 2"):
        pair.helper.receive(wire(DomainOp(Op.INFO, 5), call_id))


@pytest.mark.parametrize("call_id", [0, 1, 3])
def test_result_of_no_open_op(call_id: int) -> None:
    pair = Pair().start(Mode.OPS)
    for _ in range(2):
        pair.say(P, DomainOp(Op.INFO, 5))
    pair.say(H, OpResult(0), 1)
    text = f"for op {call_id}, which is not open"
    with pytest.raises(LocalProtocolError, match=text):
        pair.helper.send(OpResult(0), call_id)
    with pytest.raises(RemoteProtocolError, match=text):
        pair.parent.receive(wire(OpResult(0), call_id))


def test_ops_and_calls_have_ids_of_their_own() -> None:
    pair = Pair().start(Mode.SAVE)
    pair.say(P, DomainOp(Op.INFO, 5))
    pair.call()
    assert pair.parent.last_call_id == pair.helper.last_call_id == 1
    pair.say(H, OpResult(0), 1)
    pair.say(P, Answer(1), 1)


# -- Aborts ------------------------------------------------------------------------


def test_abort_crosses_a_call() -> None:
    pair = Pair().start(Mode.SAVE)
    call = pair.helper.send(Suspend())
    abort = pair.parent.send(Abort("cancelled"))
    assert [e.message for e in pair.parent.receive(call)] == [Suspend()]
    assert [e.message for e in pair.helper.receive(abort)] == [Abort("cancelled")]
    assert pair.parent.state is pair.helper.state is State.ABORTING
    pair.complete()


def test_abort_crosses_a_call_and_the_parent_answers_all_the_same() -> None:
    pair = Pair().start(Mode.SAVE)
    call = pair.helper.send(Suspend())
    abort = pair.parent.send(Abort("cancelled"))
    pair.parent.receive(call)
    pair.helper.receive(abort)
    pair.say(P, Answer(0), 1)
    pair.complete()


def test_only_one_call_can_have_crossed_an_abort() -> None:
    pair = Pair().start(Mode.SAVE)
    pair.parent.send(Abort("cancelled"))
    pair.parent.send(Abort("again"))
    pair.parent.receive(wire(Suspend(), 1))
    pair.parent.send(Answer(0), 1)
    with pytest.raises(RemoteProtocolError, match="can't have crossed"):
        pair.parent.receive(wire(SwitchQemuLogdirty(5, False), 2))


def test_no_call_can_have_crossed_an_abort_while_calling() -> None:
    pair = Pair().start(Mode.SAVE).call().abort()
    with pytest.raises(RemoteProtocolError, match="can't have crossed"):
        pair.parent.receive(wire(SwitchQemuLogdirty(5, False), 2))


def test_helper_calls_no_more_after_an_abort() -> None:
    pair = Pair().start(Mode.SAVE).abort()
    with pytest.raises(LocalProtocolError, match="Suspend after the abort"):
        pair.helper.send(Suspend())


def test_all_is_still_checked_after_an_abort() -> None:
    pair = Pair().start(Mode.SAVE).call().abort()
    with pytest.raises(RemoteProtocolError, match=r"outside 0\.\.1"):
        pair.helper.receive(wire(Answer(5), 1))


def test_answer_crosses_a_helper_that_gives_up() -> None:
    pair = Pair().start(Mode.SAVE).call()
    complete = pair.helper.send(Complete(-1, 4, True))
    answer = pair.parent.send(Answer(1), 1)
    assert pair.helper.receive(answer)
    assert pair.parent.receive(complete)
    assert pair.parent.state is pair.helper.state is State.COMPLETED


def test_only_an_aborted_helper_gives_up_its_call() -> None:
    pair = Pair().start(Mode.SAVE).call()
    with pytest.raises(LocalProtocolError, match="Complete while call 1 is open"):
        pair.helper.send(Complete(0, 0, False))
    with pytest.raises(RemoteProtocolError, match="Complete while call 1 is open"):
        pair.parent.receive(wire(Complete(0, 0, False)))


def test_save_ends_before_the_abort_arrives() -> None:
    pair = Pair().start(Mode.SAVE)
    pair.say(P, DomainOp(Op.INFO, 5))
    complete = pair.helper.send(Complete(0, 0, False))
    abort = pair.parent.send(Abort("cancelled"))
    op = pair.parent.send(DomainOp(Op.INFO, 5))
    assert pair.parent.receive(complete)
    assert len(pair.helper.receive(abort + op)) == 2
    pair.say(H, OpResult(0), 1)
    pair.say(H, OpResult(0), 2)
    pair.say(H, Log(4, -1, "", "bye"))
    assert pair.helper.state is State.COMPLETED


def test_a_second_answer_is_refused() -> None:
    pair = Pair().start(Mode.SAVE).call().abort()
    pair.say(P, Answer(0), 1)
    with pytest.raises(LocalProtocolError, match="open is None"):
        pair.parent.send(Answer(0), 1)


# -- Errors and ends ---------------------------------------------------------------


def test_events_before_a_bad_frame_are_in_the_error() -> None:
    pair = Pair().start(Mode.SAVE)
    log = Log(4, -1, "xc", "last words")
    bad = wire(Answer(1), 1)
    with pytest.raises(RemoteProtocolError) as info:
        pair.parent.receive(wire(log) * 2 + bad + wire(log))
    assert [event.message for event in info.value.events] == [log, log]
    assert info.value.frame == bad


def test_error_is_for_ever() -> None:
    parent = ParentSession()
    with pytest.raises(RemoteProtocolError) as first:
        parent.receive(bytes(4))
    for data in (b"", b"x", wire(HELLO)):
        with pytest.raises(RemoteProtocolError) as later:
            parent.receive(data)
        assert str(later.value) == str(first.value)
        assert later.value.frame == first.value.frame
        assert later.value.events == ()
    with pytest.raises(LocalProtocolError, match="in state ERROR"):
        parent.send(HELLO)


def test_nothing_comes_after_end_of_file() -> None:
    helper = HelperSession()
    helper.receive(b"")
    with pytest.raises(LocalProtocolError, match="after end of file"):
        helper.receive(b"x")
    with pytest.raises(LocalProtocolError, match="in state CLOSED"):
        helper.send(HELLO)


def test_a_refused_send_changes_nothing() -> None:
    pair = Pair().start(Mode.SAVE)
    with pytest.raises(LocalProtocolError, match="domid"):
        pair.helper.send(SwitchQemuLogdirty(-1, True))
    with pytest.raises(LocalProtocolError):
        pair.helper.send(OpResult(0), 1)
    assert pair.helper.last_call_id == 0
    pair.call()


def test_the_limit_of_the_peer_is_kept() -> None:
    pair = Pair()
    small = Hello(1, 1, "small", max_body=BODY_MAX)
    pair.say(H, small)
    pair.say(P, HELLO)
    pair.say(P, Start(Mode.SAVE, callback_mask=EVERY_CALL))
    pair.say(H, ToolstackSave(5))
    with pytest.raises(LocalProtocolError, match=f"the peer takes {BODY_MAX}"):
        pair.parent.send(Answer(bytes(BODY_MAX)), 1)
    pair.say(P, Answer(bytes(BODY_MAX - 64)), 1)


def test_only_messages_are_sent() -> None:
    with pytest.raises(LocalProtocolError, match="int is no message"):
        ParentSession().send(7)  # type: ignore[arg-type]
