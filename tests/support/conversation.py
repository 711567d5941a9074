"""Two sessions in memory, one good sample of each message, ways into each state."""

import contextlib

from libxlpy_protocol.codec import encode
from libxlpy_protocol.enums import (
    Flow,
    Image,
    Mode,
    OnParentLoss,
    Op,
    Side,
    StreamType,
    XcFlags,
)
from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.framing import frame
from libxlpy_protocol.messages import (
    Abort,
    Alive,
    Answer,
    AskToSuspend,
    Checkpoint,
    Complete,
    DomainOp,
    FailOver,
    Hello,
    LetGo,
    Log,
    Message,
    OpResult,
    Phase,
    Postcopy,
    PrecopyPolicy,
    Progress,
    Release,
    RestoreResults,
    SaveLibxc,
    Start,
    Stat,
    StaticDataDone,
    StopAndCopy,
    Suspend,
    SuspendEvent,
    SwitchQemuLogdirty,
    ToolstackRestore,
    ToolstackSave,
    WaitCheckpoint,
)
from libxlpy_protocol.session import (
    Event,
    HelperSession,
    ParentSession,
    Receiver,
    Session,
)
from libxlpy_protocol.states import State
from libxlpy_protocol.table import CALLS, MESSAGES, callback_mask

HELLO = Hello(1, 1, "libxlpy 0.1.0", "libxenguest.so.4.20", "4.20.0", ("ops",))
EVERY_CALL = callback_mask(CALLS)

SAMPLES: dict[type[Message], Message] = {
    type(sample): sample
    for sample in (
        Log(4, -1, "xc", "starting save"),
        Progress("xc", "Frames", 1024, 65536),
        Suspend(),
        Postcopy(),
        Checkpoint(),
        WaitCheckpoint(),
        SwitchQemuLogdirty(5, True),
        StaticDataDone(3),
        RestoreResults(0xFEFFC, 0xFEFFF),
        Complete(-1, 4, True),
        HELLO,
        Start(
            Mode.SAVE,
            5,
            XcFlags.LIVE | XcFlags.DEBUG,
            EVERY_CALL,
            StreamType.PLAIN,
            Image.LIBXL,
            7,
            -1,
            2,
            "/run/qemu-save.5",
            1,
            2,
            3,
            4,
            OnParentLoss.FINISH,
            "/run/xenstored/socket",
            "/run/qmp-libxl-5",
        ),
        Answer(1),
        Abort("cancelled"),
        ToolstackSave(5),
        PrecopyPolicy(2, 70000, -1),
        Stat(1, "libxc", 2, 3, 4, -1, 6, 7, 8, 9),
        Phase("libxc"),
        DomainOp(Op.SHUTDOWN, 5, 2),
        OpResult(0, 0, (5, 36, 2, 1024, 1024, 1, 123456789, 1), bytes(range(16))),
        ToolstackRestore(5, b"physmap\0"),
        Release(),
        SaveLibxc(),
        AskToSuspend(5, 9, "/run/xen/suspend-evtchn-5.lock", bytes(range(16))),
        SuspendEvent(),
        StopAndCopy(),
        Alive(30000),
        LetGo(),
        FailOver(),
    )
}

#: A mode in which each message may be sent.
MODE_OF = dict.fromkeys(SAMPLES, Mode.SAVE) | {
    Postcopy: Mode.REMUS,
    Checkpoint: Mode.REMUS,
    WaitCheckpoint: Mode.REMUS,
    StaticDataDone: Mode.RESTORE,
    RestoreResults: Mode.RESTORE,
    ToolstackRestore: Mode.RESTORE,
    FailOver: Mode.RESTORE,
}
#: A call of each mode.
CALL_OF = {
    Mode.SAVE: Suspend(),
    Mode.REMUS: Suspend(),
    Mode.RESTORE: StaticDataDone(0),
}


def wire(message: Message, call_id: int = 0) -> bytes:
    """A frame that no session has checked."""
    return frame(encode(message, call_id))


def hear(session: Receiver, data: bytes) -> list[Event]:
    """Have a session take bytes; give what they say, or meet the error."""
    session.receive(data)
    return list(iter(session.next_event, None))


class Pair:
    """A parent and a helper; what one sends, the other has received at once."""

    def __init__(self) -> None:
        self.parent = ParentSession()
        self.helper = HelperSession()

    def of(self, side: Side) -> Session:
        return self.parent if side is Side.PARENT else self.helper

    def say(self, side: Side, message: Message, call_id: int = 0) -> None:
        data = self.of(side).send(message, call_id)
        (event,) = hear(self.of(side.peer), data)
        assert event.message == message
        assert self.parent.state is self.helper.state

    def start(self, mode: Mode, **fields: object) -> "Pair":
        self.say(Side.HELPER, HELLO)
        self.say(Side.PARENT, HELLO)
        fields = {"callback_mask": EVERY_CALL} | fields
        self.say(Side.PARENT, Start(mode, **fields))  # type: ignore[arg-type]
        return self

    def call(self) -> "Pair":
        mode = self.helper.mode
        assert mode is not None
        self.say(Side.HELPER, CALL_OF[mode])
        return self

    def abort(self) -> "Pair":
        self.say(Side.PARENT, Abort("cancelled"))
        return self

    def complete(self) -> "Pair":
        self.say(Side.HELPER, Complete(-1, 4, True))
        return self


def _greet(state: State) -> Pair:
    pair = Pair()
    if state is State.PARENT_GREETED:
        pair.say(Side.PARENT, HELLO)
    if state in (State.HELPER_GREETED, State.GREETED):
        pair.say(Side.HELPER, HELLO)
    if state is State.GREETED:
        pair.say(Side.PARENT, HELLO)
    return pair


def _end(state: State) -> Pair:
    pair = Pair()
    for session in (pair.parent, pair.helper):
        if state is State.CLOSED:
            hear(session, b"")
        else:
            with contextlib.suppress(RemoteProtocolError):
                hear(session, bytes(4))
    return pair


def reach(
    state: State, mode: Mode, *, open_call: bool = False, open_op: bool = False
) -> Pair:
    """A pair in ``state``; with a call or an op open where that state can have one."""
    if state in (State.CLOSED, State.ERROR):
        return _end(state)
    if state not in (State.RUNNING, State.CALLING, State.ABORTING, State.COMPLETED):
        return _greet(state)
    pair = Pair().start(mode)
    if open_op:
        pair.say(Side.PARENT, DomainOp(Op.INFO, 5))
    if state is State.CALLING or (open_call and state is not State.RUNNING):
        pair.call()
    if state is State.ABORTING:
        pair.abort()
    if state is State.COMPLETED:
        pair.complete()
    return pair


def next_id(kind: type[Message], session: Session) -> int:
    """The id that a message of this kind must carry now."""
    flow = MESSAGES[kind].flow
    if flow is Flow.ANSWER:
        return session.open_call or 1
    if flow is Flow.OP_RESULT:
        return min(session.open_ops, default=1)
    if flow is Flow.CALL:
        return 1 + (session.open_call or 0)
    if flow is Flow.OP:
        return 1 + max(session.open_ops, default=0)
    return 0
