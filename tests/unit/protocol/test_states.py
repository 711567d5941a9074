"""Every cell of the transition table, against a table written by hand."""

import pytest

from libxlpy_protocol.enums import Mode, Side
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.messages import Message
from libxlpy_protocol.states import TRANSITIONS, State
from libxlpy_protocol.table import MESSAGES
from tests.support.conversation import (
    MODE_OF,
    SAMPLES,
    hear,
    next_id,
    reach,
    wire,
)

# Columns are states, cells the state after; "." is refused; "<" marks what may only
# arrive, because it was sent before its sender knew. F fresh, P parent greeted,
# H helper greeted, G greeted, R running, C calling, A aborting, D completed, X closed,
# E error.
GRID = """
                           F P H G R C A  D X E
helper Hello               H G . . . . .  . . .
parent Hello               P . G . . . .  . . .
parent Start               . . . R . . .  . . .
helper Log                 . . H G R C A  D . .
helper Stat                . . H G R C A  D . .
helper Progress            . . . . R C A  . . .
helper Phase               . . . . R C A  . . .
helper RestoreResults      . . . . R . A  . . .
helper Complete            . . . . D D D  . . .
helper Suspend             . . . . C . <A . . .
helper Postcopy            . . . . C . <A . . .
helper Checkpoint          . . . . C . <A . . .
helper WaitCheckpoint      . . . . C . <A . . .
helper SwitchQemuLogdirty  . . . . C . <A . . .
helper StaticDataDone      . . . . C . <A . . .
helper ToolstackSave       . . . . C . <A . . .
helper PrecopyPolicy       . . . . C . <A . . .
helper ToolstackRestore    . . . . C . <A . . .
helper SaveLibxc           . . . . C . <A . . .
parent Answer              . . . . . R A  D . .
parent Abort               . . . . A A A  D . .
parent Release             . . . . . . .  D . .
parent FailOver            . . . . R C .  D . .
parent DomainOp            . . . . R C A  D . .
parent AskToSuspend        . . . . R C A  D . .
parent Alive               . . . . R C A  D . .
parent LetGo               . . . . R C A  D . .
helper OpResult            . . . . R C A  D . .
helper SuspendEvent        . . . . R C A  . . .
helper StopAndCopy         . . . . R C A  . . .
"""
LETTERS = dict(zip("FPHGRCADXE", State, strict=True))
OPEN_STATES = [s for s in State if s not in (State.CLOSED, State.ERROR)]
KINDS = {kind.__name__: kind for kind in SAMPLES}
SIDES = {"helper": Side.HELPER, "parent": Side.PARENT}


def expected() -> dict[tuple[State, Side, type[Message]], str]:
    """All cells; what the grid does not list at all is refused in every state."""
    cells = {
        (state, side, kind): "."
        for state in State
        for side in SIDES.values()
        for kind in MESSAGES
    }
    header, *rows = GRID.strip("\n").splitlines()
    for row in rows:
        side, name, *marks = row.split()
        for letter, mark in zip(header.split(), marks, strict=True):
            cells[LETTERS[letter], SIDES[side], KINDS[name]] = mark
    return cells


CELLS = expected()
IDS = [f"{s.name}-{w.name}-{k.__name__}" for s, w, k in CELLS]


def test_grid_is_whole() -> None:
    assert len(CELLS) == 10 * 2 * 29
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize(("cell", "mark"), CELLS.items(), ids=IDS)
def test_cell(cell: tuple[State, Side, type[Message]], mark: str) -> None:
    state, sender, kind = cell
    pair = reach(
        state,
        MODE_OF[kind],
        open_call=kind.__name__ == "Answer",
        open_op=kind.__name__ == "OpResult",
    )
    assert pair.parent.state is pair.helper.state is state
    message = SAMPLES[kind]
    call_id = next_id(kind, pair.of(sender))
    answers = kind.__name__ == "Answer"

    receiver = pair.of(sender.peer)
    if mark != ".":
        (event,) = hear(receiver, wire(message, call_id))
        assert (event.message, event.call_id) == (message, call_id)
        assert receiver.state is LETTERS[mark[-1]]
    elif state is State.CLOSED:
        with pytest.raises(LocalProtocolError, match="after end of file"):
            hear(receiver, wire(message, call_id))
    else:
        with pytest.raises(RemoteProtocolError):
            hear(receiver, wire(message, call_id))
        assert receiver.state is State.ERROR

    speaker = pair.of(sender)
    if mark in LETTERS:
        given = call_id if answers or kind.__name__ == "OpResult" else 0
        assert speaker.send(message, given) == wire(message, call_id)
        assert speaker.state is LETTERS[mark]
    else:
        with pytest.raises(LocalProtocolError):
            speaker.send(message, call_id)
        assert speaker.state is state


@pytest.mark.parametrize("state", State)
def test_eof_closes_every_state_but_error(state: State) -> None:
    pair = reach(state, Mode.SAVE, open_call=False, open_op=False)
    for session in (pair.parent, pair.helper):
        if state is State.ERROR:
            with pytest.raises(RemoteProtocolError):
                hear(session, b"")
            assert session.state is State.ERROR
        else:
            assert hear(session, b"") == []
            assert session.state is State.CLOSED
            assert hear(session, b"") == []


@pytest.mark.parametrize("state", OPEN_STATES)
def test_eof_inside_a_frame_is_an_error_in_every_state(state: State) -> None:
    pair = reach(state, Mode.SAVE, open_call=False, open_op=False)
    for session in (pair.parent, pair.helper):
        assert hear(session, b"\0\0\0") == []
        with pytest.raises(RemoteProtocolError, match=r"truncated.* 3 bytes") as info:
            hear(session, b"")
        assert info.value.frame == b"\0\0\0"
        assert session.state is State.ERROR
