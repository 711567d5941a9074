"""The public names, as ``libxlpy`` hands them out."""

from libxlpy.backend import Backend
from libxlpy.callbacks import (
    PrecopyAnswer,
    PrecopyStats,
    RestoreCallbacks,
    SaveCallbacks,
)
from libxlpy.context import Context
from libxlpy.deadlines import Deadlines
from libxlpy.domain.info import DomainInfo
from libxlpy.errors import (
    BackendError,
    CallbackFailed,
    Cancelled,
    ConfigRefused,
    DomainBusy,
    DomainNotFound,
    DomainOpError,
    DomainReused,
    DryRun,
    GuestFailed,
    GuestTimedOut,
    HelperCrashed,
    HookFailed,
    JobError,
    MigrationOpen,
    MigrationRefused,
    NotSupported,
    ParentLost,
    PeerFailed,
    PolicyAborted,
    ProtocolViolation,
    QmpError,
    StreamError,
    TimedOut,
    Unfinished,
    UsageError,
    XenError,
    XenstoreError,
)
from libxlpy.events import (
    JobEvent,
    LogEvent,
    PhaseEvent,
    PrecopyEvent,
    ProgressEvent,
    StallEvent,
    StatEvent,
)
from libxlpy.jobs.job import CancelAnswer, CancelKind, Job
from libxlpy.jobs.stall import StallAction, StallPolicy
from libxlpy.jobs.watchers import Watcher
from libxlpy.migration.command import MigrationCommand
from libxlpy.migration.forecast import MigrationForecast
from libxlpy.migration.hooks import MigrationHooks
from libxlpy.migration.landing import Landing
from libxlpy.migration.verdict import (
    DomainCopy,
    MigrationVerdict,
)
from libxlpy.operations.flags import SuspendFlags
from libxlpy.operations.raw import Rings
from libxlpy.recovery.all_jobs import AbortAnswer, JobStatus
from libxlpy.recovery.decision import Outcome
from libxlpy.recovery.recovery import Recovered
from libxlpy.recovery.stop_and_copy import StopAnswer
from libxlpy.results import (
    GuestState,
    ImageState,
    JobFigures,
    JobReport,
    MigrateResult,
    RestoreResult,
    Rusage,
    SaveResult,
)
from libxlpy.results.statistics import (
    HelperUse,
    IoCounts,
    Iteration,
    Latency,
    Statistics,
)
from libxlpy_protocol.enums import Image, OnParentLoss, StreamType
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.migration.own import Refusal

__all__ = [
    "AbortAnswer",
    "Backend",
    "BackendError",
    "CallbackFailed",
    "CancelAnswer",
    "CancelKind",
    "Cancelled",
    "ConfigRefused",
    "Context",
    "Deadlines",
    "DomainBusy",
    "DomainCopy",
    "DomainInfo",
    "DomainNotFound",
    "DomainOpError",
    "DomainReused",
    "DryRun",
    "GuestFailed",
    "GuestState",
    "GuestTimedOut",
    "HelperCrashed",
    "HelperUse",
    "HookFailed",
    "Image",
    "ImageState",
    "IoCounts",
    "Iteration",
    "Job",
    "JobError",
    "JobEvent",
    "JobFigures",
    "JobReport",
    "JobStatus",
    "Landing",
    "Latency",
    "LibxlpyError",
    "LogEvent",
    "MigrateResult",
    "MigrationCommand",
    "MigrationForecast",
    "MigrationHooks",
    "MigrationOpen",
    "MigrationRefused",
    "MigrationVerdict",
    "NotSupported",
    "OnParentLoss",
    "Outcome",
    "ParentLost",
    "PeerFailed",
    "PhaseEvent",
    "PolicyAborted",
    "PrecopyAnswer",
    "PrecopyEvent",
    "PrecopyStats",
    "ProgressEvent",
    "ProtocolViolation",
    "QmpError",
    "Recovered",
    "Refusal",
    "RestoreCallbacks",
    "RestoreResult",
    "Rings",
    "Rusage",
    "SaveCallbacks",
    "SaveResult",
    "StallAction",
    "StallEvent",
    "StallPolicy",
    "StatEvent",
    "Statistics",
    "StopAnswer",
    "StreamError",
    "StreamType",
    "SuspendFlags",
    "TimedOut",
    "Unfinished",
    "UsageError",
    "Watcher",
    "XenError",
    "XenstoreError",
]
