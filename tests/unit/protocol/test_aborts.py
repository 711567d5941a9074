"""An abort may cross a call, an answer or the end."""

import pytest

from libxlpy_protocol.enums import Mode, Op, Side
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.messages import (
    Abort,
    Answer,
    Complete,
    DomainOp,
    Log,
    OpResult,
    Suspend,
    SwitchQemuLogdirty,
)
from libxlpy_protocol.states import State
from tests.support.conversation import (
    Pair,
    hear,
    wire,
)

H, P = Side.HELPER, Side.PARENT


def test_abort_crosses_a_call() -> None:
    pair = Pair().start(Mode.SAVE)
    call = pair.helper.send(Suspend())
    abort = pair.parent.send(Abort("cancelled"))
    assert [e.message for e in hear(pair.parent, call)] == [Suspend()]
    assert [e.message for e in hear(pair.helper, abort)] == [Abort("cancelled")]
    assert pair.parent.state is pair.helper.state is State.ABORTING
    pair.complete()


def test_abort_crosses_a_call_and_the_parent_answers_all_the_same() -> None:
    pair = Pair().start(Mode.SAVE)
    call = pair.helper.send(Suspend())
    abort = pair.parent.send(Abort("cancelled"))
    hear(pair.parent, call)
    hear(pair.helper, abort)
    pair.say(P, Answer(0), 1)
    pair.complete()


def test_only_one_call_can_have_crossed_an_abort() -> None:
    pair = Pair().start(Mode.SAVE)
    pair.parent.send(Abort("cancelled"))
    pair.parent.send(Abort("again"))
    hear(pair.parent, wire(Suspend(), 1))
    pair.parent.send(Answer(0), 1)
    with pytest.raises(RemoteProtocolError, match="can't have crossed"):
        hear(pair.parent, wire(SwitchQemuLogdirty(5, False), 2))


def test_no_call_can_have_crossed_an_abort_while_calling() -> None:
    pair = Pair().start(Mode.SAVE).call().abort()
    with pytest.raises(RemoteProtocolError, match="can't have crossed"):
        hear(pair.parent, wire(SwitchQemuLogdirty(5, False), 2))


def test_helper_calls_no_more_after_an_abort() -> None:
    pair = Pair().start(Mode.SAVE).abort()
    with pytest.raises(LocalProtocolError, match="Suspend after the abort"):
        pair.helper.send(Suspend())


def test_all_is_still_checked_after_an_abort() -> None:
    pair = Pair().start(Mode.SAVE).call().abort()
    with pytest.raises(RemoteProtocolError, match=r"outside 0\.\.1"):
        hear(pair.helper, wire(Answer(5), 1))


def test_answer_crosses_a_helper_that_gives_up() -> None:
    pair = Pair().start(Mode.SAVE).call()
    complete = pair.helper.send(Complete(-1, 4, True))
    answer = pair.parent.send(Answer(1), 1)
    assert hear(pair.helper, answer)
    assert hear(pair.parent, complete)
    assert pair.parent.state is pair.helper.state is State.COMPLETED


def test_only_an_aborted_helper_gives_up_its_call() -> None:
    pair = Pair().start(Mode.SAVE).call()
    with pytest.raises(LocalProtocolError, match="Complete while call 1 is open"):
        pair.helper.send(Complete(0, 0, False))
    with pytest.raises(RemoteProtocolError, match="Complete while call 1 is open"):
        hear(pair.parent, wire(Complete(0, 0, False)))


def test_save_ends_before_the_abort_arrives() -> None:
    pair = Pair().start(Mode.SAVE)
    pair.say(P, DomainOp(Op.INFO, 5))
    complete = pair.helper.send(Complete(0, 0, False))
    abort = pair.parent.send(Abort("cancelled"))
    op = pair.parent.send(DomainOp(Op.INFO, 5))
    assert hear(pair.parent, complete)
    assert len(hear(pair.helper, abort + op)) == 2
    pair.say(H, OpResult(0), 1)
    pair.say(H, OpResult(0), 2)
    pair.say(H, Log(4, -1, "", "bye"))
    assert pair.helper.state is State.COMPLETED


def test_a_second_answer_is_refused() -> None:
    pair = Pair().start(Mode.SAVE).call().abort()
    pair.say(P, Answer(0), 1)
    with pytest.raises(LocalProtocolError, match="open is None"):
        pair.parent.send(Answer(0), 1)
