"""What type checkers and editors know of the package; see ``api``."""

from libxlpy.backend import (
    Backend as Backend,
)
from libxlpy.callbacks import (
    PrecopyAnswer as PrecopyAnswer,
)
from libxlpy.callbacks import (
    PrecopyStats as PrecopyStats,
)
from libxlpy.callbacks import (
    RestoreCallbacks as RestoreCallbacks,
)
from libxlpy.callbacks import (
    SaveCallbacks as SaveCallbacks,
)
from libxlpy.context import (
    Context as Context,
)
from libxlpy.deadlines import (
    Deadlines as Deadlines,
)
from libxlpy.domain.info import (
    DomainInfo as DomainInfo,
)
from libxlpy.errors import (
    BackendError as BackendError,
)
from libxlpy.errors import (
    CallbackFailed as CallbackFailed,
)
from libxlpy.errors import (
    Cancelled as Cancelled,
)
from libxlpy.errors import (
    ConfigRefused as ConfigRefused,
)
from libxlpy.errors import (
    DomainBusy as DomainBusy,
)
from libxlpy.errors import (
    DomainNotFound as DomainNotFound,
)
from libxlpy.errors import (
    DomainOpError as DomainOpError,
)
from libxlpy.errors import (
    DomainReused as DomainReused,
)
from libxlpy.errors import (
    DryRun as DryRun,
)
from libxlpy.errors import (
    GuestFailed as GuestFailed,
)
from libxlpy.errors import (
    GuestTimedOut as GuestTimedOut,
)
from libxlpy.errors import (
    HelperCrashed as HelperCrashed,
)
from libxlpy.errors import (
    HookFailed as HookFailed,
)
from libxlpy.errors import (
    JobError as JobError,
)
from libxlpy.errors import (
    MigrationOpen as MigrationOpen,
)
from libxlpy.errors import (
    MigrationRefused as MigrationRefused,
)
from libxlpy.errors import (
    NotSupported as NotSupported,
)
from libxlpy.errors import (
    ParentLost as ParentLost,
)
from libxlpy.errors import (
    PeerFailed as PeerFailed,
)
from libxlpy.errors import (
    PolicyAborted as PolicyAborted,
)
from libxlpy.errors import (
    ProtocolViolation as ProtocolViolation,
)
from libxlpy.errors import (
    QmpError as QmpError,
)
from libxlpy.errors import (
    StreamError as StreamError,
)
from libxlpy.errors import (
    TimedOut as TimedOut,
)
from libxlpy.errors import (
    Unfinished as Unfinished,
)
from libxlpy.errors import (
    UsageError as UsageError,
)
from libxlpy.errors import (
    XenError as XenError,
)
from libxlpy.errors import (
    XenstoreError as XenstoreError,
)
from libxlpy.events import (
    JobEvent as JobEvent,
)
from libxlpy.events import (
    LogEvent as LogEvent,
)
from libxlpy.events import (
    PhaseEvent as PhaseEvent,
)
from libxlpy.events import (
    PrecopyEvent as PrecopyEvent,
)
from libxlpy.events import (
    ProgressEvent as ProgressEvent,
)
from libxlpy.events import (
    StallEvent as StallEvent,
)
from libxlpy.events import (
    StatEvent as StatEvent,
)
from libxlpy.jobs.job import (
    CancelAnswer as CancelAnswer,
)
from libxlpy.jobs.job import (
    CancelKind as CancelKind,
)
from libxlpy.jobs.job import (
    Job as Job,
)
from libxlpy.jobs.stall import (
    StallAction as StallAction,
)
from libxlpy.jobs.stall import (
    StallPolicy as StallPolicy,
)
from libxlpy.jobs.watchers import (
    Watcher as Watcher,
)
from libxlpy.migration.command import (
    MigrationCommand as MigrationCommand,
)
from libxlpy.migration.forecast import (
    MigrationForecast as MigrationForecast,
)
from libxlpy.migration.hooks import (
    MigrationHooks as MigrationHooks,
)
from libxlpy.migration.landing import (
    Landing as Landing,
)
from libxlpy.migration.verdict import (
    DomainCopy as DomainCopy,
)
from libxlpy.migration.verdict import (
    MigrationVerdict as MigrationVerdict,
)
from libxlpy.operations.flags import (
    SuspendFlags as SuspendFlags,
)
from libxlpy.operations.raw import (
    Rings as Rings,
)
from libxlpy.recovery.all_jobs import (
    AbortAnswer as AbortAnswer,
)
from libxlpy.recovery.all_jobs import (
    JobStatus as JobStatus,
)
from libxlpy.recovery.decision import (
    Outcome as Outcome,
)
from libxlpy.recovery.recovery import (
    Recovered as Recovered,
)
from libxlpy.recovery.stop_and_copy import (
    StopAnswer as StopAnswer,
)
from libxlpy.results import (
    GuestState as GuestState,
)
from libxlpy.results import (
    ImageState as ImageState,
)
from libxlpy.results import (
    JobFigures as JobFigures,
)
from libxlpy.results import (
    JobReport as JobReport,
)
from libxlpy.results import (
    MigrateResult as MigrateResult,
)
from libxlpy.results import (
    RestoreResult as RestoreResult,
)
from libxlpy.results import (
    Rusage as Rusage,
)
from libxlpy.results import (
    SaveResult as SaveResult,
)
from libxlpy.results.statistics import (
    HelperUse as HelperUse,
)
from libxlpy.results.statistics import (
    IoCounts as IoCounts,
)
from libxlpy.results.statistics import (
    Iteration as Iteration,
)
from libxlpy.results.statistics import (
    Latency as Latency,
)
from libxlpy.results.statistics import (
    Statistics as Statistics,
)
from libxlpy_protocol.enums import (
    Image as Image,
)
from libxlpy_protocol.enums import (
    OnParentLoss as OnParentLoss,
)
from libxlpy_protocol.enums import (
    StreamType as StreamType,
)
from libxlpy_protocol.errors import (
    LibxlpyError as LibxlpyError,
)
from libxlpy_protocol.migration.own import (
    Refusal as Refusal,
)
