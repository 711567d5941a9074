"""Whole conversations, modes, once-only: what the transition table does not say."""

import pytest

from libxlpy_protocol.enums import Mode, Op, Side
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import DATA_MAX
from libxlpy_protocol.messages import (
    Abort,
    Answer,
    Checkpoint,
    Complete,
    DomainOp,
    Hello,
    Log,
    Message,
    OpResult,
    Phase,
    Postcopy,
    PrecopyPolicy,
    Progress,
    RestoreResults,
    Start,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackRestore,
    ToolstackSave,
    WaitCheckpoint,
)
from libxlpy_protocol.states import State
from libxlpy_protocol.table import MESSAGES
from tests.support.conversation import (
    MODE_OF,
    SAMPLES,
    Pair,
    hear,
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
    assert hear(pair.parent, b"") == []
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
    hear(pair.helper, b"")
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
        assert hear(pair.of(sender.peer), data)
        assert pair.of(sender).send(SAMPLES[kind]) == data
        return
    text = f"{kind.__name__} in mode {mode.name}"
    with pytest.raises(RemoteProtocolError, match=text):
        hear(pair.of(sender.peer), data)
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
        hear(pair.of(sender.peer), wire(SAMPLES[kind]))


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_a_message_of_the_other_side_is_refused(kind: type[Message]) -> None:
    if kind is Hello:
        return
    wrong = MESSAGES[kind].sender.peer
    pair = Pair().start(MODE_OF[kind])
    with pytest.raises(LocalProtocolError, match="to send"):
        pair.of(wrong).send(SAMPLES[kind])
    with pytest.raises(RemoteProtocolError, match="to send"):
        hear(pair.of(wrong.peer), wire(SAMPLES[kind]))
