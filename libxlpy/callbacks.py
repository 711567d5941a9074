"""What the caller of the low-level save and restore supplies: coroutines.

A callback that is None is not offered to libxenguest. Return values are libxenguest's
own; note that ``suspend`` answers 1 for done and 0 for failed, the others 0 for done.
"""

import enum
from collections.abc import Awaitable, Callable

from libxlpy.errors import UsageError
from libxlpy_protocol import messages
from libxlpy_protocol.messages import (
    CallMessage,
    Checkpoint,
    Message,
    Postcopy,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackRestore,
    ToolstackSave,
    WaitCheckpoint,
)
from libxlpy_protocol.value import Value


class PrecopyStats(Value):
    """Where a live save stands; Xen: ``struct precopy_stats``."""

    iteration: int
    #: Pages written so far.
    total_written: int
    #: Dirty pages now, -1 when not known.
    dirty_count: int


class PrecopyAnswer(enum.IntEnum):
    """How a live save goes on; Xen: ``XGS_POLICY_*``."""

    #: End it; the guest runs on.
    ABORT = -1
    #: Copy what is dirty while the guest runs.
    GO_ON = 0
    #: Suspend the guest and copy what is left.
    STOP_AND_COPY = 1


#: What a callback answers, as it goes to the helper.
AnswerTo = int | bytes | None
PrecopyPolicy = Callable[[PrecopyStats], Awaitable[int]]


class SaveCallbacks(Value, kw_only=True):
    """What libxenguest asks for during a save.

    Xen: tools/include/xenguest.h, ``struct save_callbacks``.
    """

    #: Suspend the guest: 1 done, 0 failed.
    suspend: Callable[[], Awaitable[int]]
    #: Switch the device model's dirty logging of a domid: 0 done. HVM and PVH need it.
    switch_qemu_logdirty: Callable[[int, bool], Awaitable[int]] | None = None
    #: Give the toolstack's own data of a domid; with an emulator only.
    toolstack_save: Callable[[int], Awaitable[bytes]] | None = None
    #: How to go on; asked before and after each pass.
    precopy_policy: PrecopyPolicy | None = None
    #: After a checkpoint's memory was sent: 1 go on, 0 stop.
    postcopy: Callable[[], Awaitable[int]] | None = None
    #: After a checkpoint: 1 take another, 0 stop.
    checkpoint: Callable[[], Awaitable[int]] | None = None
    #: Wait until the next checkpoint is wanted: 1 go on, 0 stop.
    wait_checkpoint: Callable[[], Awaitable[int]] | None = None


class RestoreCallbacks(Value, kw_only=True):
    """What libxenguest asks for during a restore.

    Xen: tools/include/xenguest.h, ``struct restore_callbacks``.
    """

    #: Static data are in; bit 0 CPUID, bit 1 MSR policy missing in the stream: 0 done.
    static_data_done: Callable[[int], Awaitable[int]] | None = None
    #: Put back the toolstack's own data of a domid: 0 done.
    toolstack_restore: Callable[[int, bytes], Awaitable[int]] | None = None
    #: A checkpoint is complete: 1 go on, 2 fail over.
    checkpoint: Callable[[], Awaitable[int]] | None = None


#: Call -> name of the callback that answers it.
NAMES: dict[type[Message], str] = {
    Suspend: "suspend",
    Postcopy: "postcopy",
    Checkpoint: "checkpoint",
    WaitCheckpoint: "wait_checkpoint",
    SwitchQemuLogdirty: "switch_qemu_logdirty",
    StaticDataDone: "static_data_done",
    ToolstackSave: "toolstack_save",
    messages.PrecopyPolicy: "precopy_policy",
    ToolstackRestore: "toolstack_restore",
}


def offered(callbacks: SaveCallbacks | RestoreCallbacks) -> frozenset[type[Message]]:
    """Give the calls that some callbacks answer."""
    given = {name for name, callback in vars(callbacks).items() if callback}
    return frozenset(kind for kind, name in NAMES.items() if name in given)


async def await_callback(
    callbacks: SaveCallbacks | RestoreCallbacks, message: CallMessage
) -> AnswerTo:
    """Await the callback that answers a call.

    Raises:
        UsageError: It is not offered.
        Exception: Whatever the callback raises.
    """
    callback = getattr(callbacks, NAMES[type(message)], None)
    if callback is None:
        raise UsageError(f"no callback {NAMES[type(message)]} was given")
    answer: AnswerTo = await callback(*arguments(message))
    return int(answer) if isinstance(answer, bool) else answer


def arguments(message: CallMessage) -> tuple[object, ...]:
    """Give a callback's arguments."""
    match message:
        case SwitchQemuLogdirty(domid=domid, enable=enable):
            return (domid, enable)
        case ToolstackSave(domid=domid):
            return (domid,)
        case ToolstackRestore(domid=domid, data=data):
            return (domid, data)
        case StaticDataDone(missing=missing):
            return (missing,)
        case messages.PrecopyPolicy():
            return (precopy_stats(message),)
        case _:
            return ()


def precopy_stats(call: messages.PrecopyPolicy) -> PrecopyStats:
    """Give what libxenguest asks its precopy policy about."""
    return PrecopyStats(call.iteration, call.total_written, call.dirty_count)
