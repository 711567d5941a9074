"""Who may send what when: the joint states of a session and their one table.

Both sides keep the same joint state and move it by what they send and by what they
receive, so for as long as frames are under way the two views differ; every cell that
exists only because frames can cross on the way is marked so. A cell that is missing is
a protocol error. EOF leads from every state but ERROR to CLOSED.
"""

from __future__ import annotations

import enum

from libxlpy_protocol import messages as m
from libxlpy_protocol.enums import Side
from libxlpy_protocol.table import CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final, TypeAlias

__all__ = ["RECEIVE_ONLY", "TRANSITIONS", "Key", "State"]


class State(enum.Enum):
    """How far the two sides have come together."""

    __hash__ = object.__hash__  # each is one object; enum's own is Python

    #: Nothing said.
    FRESH = "fresh"
    #: Only the parent has said hello.
    PARENT_GREETED = "parent greeted"
    #: Only the helper has said hello.
    HELPER_GREETED = "helper greeted"
    #: Both have; the helper waits for its job.
    GREETED = "greeted"
    #: The helper does its job.
    RUNNING = "running"
    #: The helper waits for the answer to its one call.
    CALLING = "calling"
    #: The parent said abort; the helper cleans up and completes.
    ABORTING = "aborting"
    #: The job is over; the parent closes.
    COMPLETED = "completed"
    #: End of file between two frames.
    CLOSED = "closed"
    #: The peer broke a rule.
    ERROR = "error"


Key: TypeAlias = tuple[Side, type[m.Message]]

HELPER: Final = Side.HELPER
PARENT: Final = Side.PARENT

_SIGNS_OF_LIFE: Final = (m.Log, m.Stat)
_NEWS: Final = (
    *_SIGNS_OF_LIFE,
    *(m.Progress, m.Phase, m.SuspendEvent, m.StopAndCopy),
)


def _each(side: Side, kinds: Iterable[type[m.Message]], to: State) -> dict[Key, State]:
    return {(side, kind): to for kind in kinds}


_OPS: Final = (m.DomainOp, m.AskToSuspend, m.Alive, m.LetGo)


def _ops(state: State) -> dict[Key, State]:
    return {
        **_each(PARENT, _OPS, state),
        (HELPER, m.OpResult): state,
    }


TRANSITIONS: Final[dict[State, dict[Key, State]]] = {
    State.FRESH: {
        (HELPER, m.Hello): State.HELPER_GREETED,
        (PARENT, m.Hello): State.PARENT_GREETED,
    },
    State.PARENT_GREETED: {
        (HELPER, m.Hello): State.GREETED,
    },
    State.HELPER_GREETED: {
        (PARENT, m.Hello): State.GREETED,
        **_each(HELPER, _SIGNS_OF_LIFE, State.HELPER_GREETED),
    },
    State.GREETED: {
        (PARENT, m.Start): State.RUNNING,
        **_each(HELPER, _SIGNS_OF_LIFE, State.GREETED),
    },
    State.RUNNING: {
        **_each(HELPER, _NEWS, State.RUNNING),
        **_each(HELPER, CALLS, State.CALLING),
        (HELPER, m.RestoreResults): State.RUNNING,
        (HELPER, m.Complete): State.COMPLETED,
        (PARENT, m.Abort): State.ABORTING,
        (PARENT, m.FailOver): State.RUNNING,
        **_ops(State.RUNNING),
    },
    State.CALLING: {
        **_each(HELPER, _NEWS, State.CALLING),
        # A helper told to stop by a signal gives up its own call.
        (HELPER, m.Complete): State.COMPLETED,
        (PARENT, m.Answer): State.RUNNING,
        (PARENT, m.Abort): State.ABORTING,
        (PARENT, m.FailOver): State.CALLING,
        **_ops(State.CALLING),
    },
    State.ABORTING: {
        **_each(HELPER, _NEWS, State.ABORTING),
        **_each(HELPER, CALLS, State.ABORTING),  # crossing
        (HELPER, m.RestoreResults): State.ABORTING,
        (HELPER, m.Complete): State.COMPLETED,
        (PARENT, m.Answer): State.ABORTING,  # crossing
        (PARENT, m.Abort): State.ABORTING,
        **_ops(State.ABORTING),
    },
    State.COMPLETED: {
        **_each(HELPER, _SIGNS_OF_LIFE, State.COMPLETED),
        (PARENT, m.Answer): State.COMPLETED,  # crossing
        (PARENT, m.Abort): State.COMPLETED,  # crossing
        (PARENT, m.FailOver): State.COMPLETED,  # crossing
        (PARENT, m.Release): State.COMPLETED,
        **_ops(State.COMPLETED),
    },
    State.CLOSED: {},
    State.ERROR: {},
}

#: Cells for what was under way when the state changed: taken, but not sent any more.
RECEIVE_ONLY: Final = frozenset((State.ABORTING, HELPER, kind) for kind in CALLS)
