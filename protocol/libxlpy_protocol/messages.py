"""The messages and their table, under one name; see :mod:`libxlpy_protocol.rules`."""

from typing import TypeAlias

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
from libxlpy_protocol.fields import (
    BODY_MAX,
    DATA_MAX,
    LARGE_BODY_MAX,
    NAME_MAX,
    PATH_MAX,
    TEXT_MAX,
    clip,
)
from libxlpy_protocol.message_types import (
    Abort,
    Answer,
    AskToSuspend,
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
    Release,
    RestoreResults,
    SaveLibxc,
    Start,
    Stat,
    StaticDataDone,
    Suspend,
    SuspendEvent,
    SwitchQemuLogdirty,
    ToolstackRestore,
    ToolstackSave,
    WaitCheckpoint,
)
from libxlpy_protocol.rules import (
    CALLS,
    MESSAGES,
    NUMBERS,
    Rule,
    callback_mask,
    failure_answer,
)

__all__ = [
    "BODY_MAX",
    "CALLS",
    "DATA_MAX",
    "LARGE_BODY_MAX",
    "MESSAGES",
    "NAME_MAX",
    "NUMBERS",
    "PATH_MAX",
    "TEXT_MAX",
    "Abort",
    "Answer",
    "AnyMessage",
    "AskToSuspend",
    "CallMessage",
    "Checkpoint",
    "Complete",
    "DomainOp",
    "Flow",
    "Hello",
    "HelperMessage",
    "Image",
    "Log",
    "Message",
    "Mode",
    "OnParentLoss",
    "Op",
    "OpResult",
    "ParentMessage",
    "Phase",
    "Postcopy",
    "PrecopyPolicy",
    "Progress",
    "Release",
    "RestoreResults",
    "Rule",
    "SaveLibxc",
    "Side",
    "Start",
    "Stat",
    "StaticDataDone",
    "StreamType",
    "Suspend",
    "SuspendEvent",
    "SwitchQemuLogdirty",
    "ToolstackRestore",
    "ToolstackSave",
    "WaitCheckpoint",
    "XcFlags",
    "callback_mask",
    "clip",
    "failure_answer",
]

#: What the parent answers: ``match`` over it lets the type checker see a gap.
CallMessage: TypeAlias = (
    Suspend
    | Postcopy
    | Checkpoint
    | WaitCheckpoint
    | SwitchQemuLogdirty
    | StaticDataDone
    | ToolstackSave
    | PrecopyPolicy
    | ToolstackRestore
    | SaveLibxc
)
#: What a parent may receive.
HelperMessage: TypeAlias = (
    CallMessage
    | Hello
    | Log
    | Progress
    | RestoreResults
    | Complete
    | Stat
    | Phase
    | OpResult
    | SuspendEvent
)
#: What a helper may receive.
ParentMessage: TypeAlias = (
    Hello | Start | Answer | Abort | DomainOp | AskToSuspend | Release
)
#: Any message.
AnyMessage: TypeAlias = HelperMessage | ParentMessage
