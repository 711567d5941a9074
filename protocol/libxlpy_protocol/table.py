"""The message table: the single source of truth about every message.

Numbers 1-10 are those of Xen's own helper protocol, ours start at 32. The codec, the
session and docs/protocol.md all follow :data:`MESSAGES`.

Xen: tools/libs/light/libxl_save_msgs_gen.pl, ``@msgs``.
"""

from __future__ import annotations

from types import NoneType

from libxlpy_protocol import messages as m
from libxlpy_protocol.enums import Flow, Mode, Side
from libxlpy_protocol.fields import BODY_MAX, LARGE_BODY_MAX, Field, field_of
from libxlpy_protocol.hello import NUMBER
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

__all__ = [
    "CALLS",
    "FIELDS",
    "MESSAGES",
    "NUMBERS",
    "Rule",
    "callback_mask",
    "failure_answer",
]

ANY: Final = frozenset(Mode)
JOB: Final = frozenset({Mode.SAVE, Mode.RESTORE, Mode.REMUS})
SAVE: Final = frozenset({Mode.SAVE})
SAVES: Final = frozenset({Mode.SAVE, Mode.REMUS})
RESTORE: Final = frozenset({Mode.RESTORE})
REMUS: Final = frozenset({Mode.REMUS})
CHECKPOINTED: Final = frozenset({Mode.REMUS, Mode.RESTORE})

I32_RANGE: Final = (-(1 << 31), (1 << 31) - 1)


class Rule(Value):
    """What may be done with one message.

    Attributes:
        number: On the wire, and the bit of a call in ``Start.callback_mask``.
        sender: The side, or both, that may send it.
        flow: What it wants from the peer.
        modes: Modes in which it may be sent (before Start there is no mode yet).
        once: Each sender may send it once only.
        max_body: Bytes of the encoded body.
        answer_types: Types of the answer to a call; empty for all else.
        answer_range: Lowest and highest int answer.
        failure: The answer that makes Xen take its own error path.
        mirrors: The member of Xen's callback structs that it carries, or "".
    """

    number: int
    sender: Side
    flow: Flow
    modes: frozenset[Mode] = ANY
    once: bool = False
    max_body: int = BODY_MAX
    answer_types: tuple[type, ...] = ()
    answer_range: tuple[int, int] = I32_RANGE
    failure: int | bytes | None = None
    mirrors: str = ""


def _notice(
    number: int, modes: frozenset[Mode], *, once: bool = False, mirrors: str = ""
) -> Rule:
    return Rule(number, Side.HELPER, Flow.NOTICE, modes, once=once, mirrors=mirrors)


def _call(
    number: int,
    modes: frozenset[Mode],
    failure: int,
    mirrors: str,
    answer_range: tuple[int, int] = I32_RANGE,
) -> Rule:
    return Rule(
        number,
        Side.HELPER,
        Flow.CALL,
        modes,
        answer_types=(int,),
        answer_range=answer_range,
        failure=failure,
        mirrors=mirrors,
    )


#: Every message, in order of its number.
MESSAGES: Final[dict[type[m.Message], Rule]] = {
    m.Log: _notice(1, ANY),
    m.Progress: _notice(2, JOB),
    m.Suspend: _call(3, SAVES, 0, "suspend", (0, 1)),
    m.Postcopy: _call(4, REMUS, 0, "postcopy"),
    m.Checkpoint: _call(5, CHECKPOINTED, 0, "checkpoint"),
    m.WaitCheckpoint: _call(6, CHECKPOINTED, 0, "wait_checkpoint"),
    m.SwitchQemuLogdirty: _call(7, SAVES, -1, "switch_qemu_logdirty"),
    m.StaticDataDone: _call(8, RESTORE, -1, "static_data_done"),
    m.RestoreResults: _notice(9, RESTORE, once=True, mirrors="restore_results"),
    m.Complete: _notice(10, JOB, once=True),
    m.Hello: Rule(NUMBER, Side.BOTH, Flow.HELLO, once=True),
    m.Start: Rule(33, Side.PARENT, Flow.START, once=True),
    m.Answer: Rule(34, Side.PARENT, Flow.ANSWER, JOB, max_body=LARGE_BODY_MAX),
    m.Abort: Rule(35, Side.PARENT, Flow.NOTICE, JOB),
    m.ToolstackSave: Rule(
        36,
        Side.HELPER,
        Flow.CALL,
        SAVES,
        answer_types=(bytes, NoneType),
        failure=None,
    ),
    m.PrecopyPolicy: _call(37, SAVES, -1, "precopy_policy", (-1, 1)),
    m.Stat: _notice(38, ANY),
    m.Phase: _notice(39, JOB),
    m.DomainOp: Rule(40, Side.PARENT, Flow.OP),
    m.OpResult: Rule(41, Side.HELPER, Flow.OP_RESULT),
    m.ToolstackRestore: Rule(
        42,
        Side.HELPER,
        Flow.CALL,
        RESTORE,
        max_body=LARGE_BODY_MAX,
        answer_types=(int,),
        failure=-1,
    ),
    m.Release: Rule(43, Side.PARENT, Flow.NOTICE, JOB, once=True),
    m.SaveLibxc: Rule(
        44, Side.HELPER, Flow.CALL, SAVE, once=True, answer_types=(int,), failure=-1
    ),
    m.AskToSuspend: Rule(45, Side.PARENT, Flow.OP, SAVES),
    m.SuspendEvent: _notice(46, SAVES),
    m.StopAndCopy: _notice(47, SAVES),
    m.Alive: Rule(48, Side.PARENT, Flow.OP, SAVES),
    m.LetGo: Rule(49, Side.PARENT, Flow.OP, SAVES),
    m.FailOver: Rule(50, Side.PARENT, Flow.NOTICE, RESTORE, once=True),
}

#: Message class of each number on the wire.
NUMBERS: Final[dict[int, type[m.Message]]] = {
    rule.number: kind for kind, rule in MESSAGES.items()
}

#: The calls, in order of their number.
CALLS: Final[tuple[type[m.Message], ...]] = tuple(
    kind for kind, rule in MESSAGES.items() if rule.flow is Flow.CALL
)

#: Name and kind of each field of each message, in wire order.
FIELDS: Final[dict[type[m.Message], tuple[tuple[str, Field], ...]]] = {
    kind: tuple((name, field_of(kind.__annotations__[name])) for name in kind.names())
    for kind in MESSAGES
}


def callback_mask(calls: Iterable[type[m.Message]]) -> int:
    """Return the ``Start.callback_mask`` that offers to answer these calls."""
    return sum({1 << MESSAGES[kind].number for kind in calls})


def failure_answer(call: type[m.Message]) -> m.Answer:
    """Return the answer that makes Xen clean up after a failed callback.

    Raises:
        ValueError: The message is no call.
    """
    rule = MESSAGES[call]
    if rule.flow is not Flow.CALL:
        raise ValueError(f"{call.__name__} is no call")
    return m.Answer(rule.failure)
