"""The public names, and the modules that have them.

``libxlpy`` hands each out when it is asked for: a program loads what it uses. What type
checkers and editors read is ``__init__.pyi``, which has the same names (a test).
"""

from collections.abc import Mapping

#: Module -> its public names.
PUBLIC: Mapping[str, tuple[str, ...]] = {
    "libxlpy.backend": ("Backend",),
    "libxlpy.callbacks": (
        "PrecopyAnswer",
        "PrecopyStats",
        "RestoreCallbacks",
        "SaveCallbacks",
    ),
    "libxlpy.context": ("Context",),
    "libxlpy.deadlines": ("Deadlines",),
    "libxlpy.domain.info": ("DomainInfo",),
    "libxlpy.errors": (
        "BackendError",
        "CallbackFailed",
        "Cancelled",
        "ConfigRefused",
        "DomainBusy",
        "DomainNotFound",
        "DomainOpError",
        "DomainReused",
        "DryRun",
        "GuestFailed",
        "GuestTimedOut",
        "HelperCrashed",
        "HookFailed",
        "JobError",
        "MigrationOpen",
        "MigrationRefused",
        "NotSupported",
        "ParentLost",
        "PeerFailed",
        "PolicyAborted",
        "ProtocolViolation",
        "QmpError",
        "StreamError",
        "TimedOut",
        "Unfinished",
        "UsageError",
        "XenError",
        "XenstoreError",
    ),
    "libxlpy.events": (
        "JobEvent",
        "LogEvent",
        "PhaseEvent",
        "PrecopyEvent",
        "ProgressEvent",
        "StallEvent",
        "StatEvent",
    ),
    "libxlpy.jobs.job": ("CancelAnswer", "CancelKind", "Job"),
    "libxlpy.jobs.stall": ("StallAction", "StallPolicy"),
    "libxlpy.jobs.watchers": ("Watcher",),
    "libxlpy.migration.command": ("MigrationCommand",),
    "libxlpy.migration.forecast": ("MigrationForecast",),
    "libxlpy.migration.hooks": ("MigrationHooks",),
    "libxlpy.migration.landing": ("Landing",),
    "libxlpy.migration.verdict": ("DomainCopy", "MigrationVerdict"),
    "libxlpy.operations.flags": ("SuspendFlags",),
    "libxlpy.operations.raw": ("Rings",),
    "libxlpy.recovery.all_jobs": ("AbortAnswer", "JobStatus"),
    "libxlpy.recovery.decision": ("Outcome",),
    "libxlpy.recovery.recovery": ("Recovered",),
    "libxlpy.recovery.stop_and_copy": ("StopAnswer",),
    "libxlpy.remus.devices": ("Device",),
    "libxlpy.remus.fence": ("Fence", "FenceExecutable", "Lost", "Primary", "NoFence"),
    "libxlpy.remus.figures": ("RemusFigures",),
    "libxlpy.remus.host": ("BackupHost",),
    "libxlpy.remus.info": ("RemusInfo",),
    "libxlpy.remus.protection": ("Protection", "ProtectionState"),
    "libxlpy.results.figures": ("JobFigures",),
    "libxlpy.results.of_jobs": (
        "MigrateResult",
        "RemusResult",
        "RestoreResult",
        "SaveResult",
    ),
    "libxlpy.results.report": (
        "GuestState",
        "ImageState",
        "JobReport",
        "Rusage",
    ),
    "libxlpy.results.statistics": (
        "HelperUse",
        "IoCounts",
        "Iteration",
        "Latency",
        "Statistics",
    ),
    "libxlpy_protocol.enums": ("Image", "OnParentLoss", "StreamType"),
    "libxlpy_protocol.errors": ("LibxlpyError",),
    "libxlpy_protocol.migration.own": ("Refusal",),
}
#: Name -> its module.
MODULE_OF: Mapping[str, str] = {
    name: module for module, names in PUBLIC.items() for name in names
}
