"""Libxl's return codes, and the one that each error of ours stands for.

Xen: tools/libs/light/libxl_types.idl, libxl_error.
"""

import asyncio

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
    UsageError,
    XenError,
    XenstoreError,
)

ERROR_FAIL = -3
ERROR_NI = -4
ERROR_INVAL = -6
ERROR_GUEST_TIMEDOUT = -8
ERROR_TIMEDOUT = -9
ERROR_ABORTED = -22
ERROR_NOTFOUND = -23
ERROR_QMP_GENERIC_ERROR = -28

#: Error -> its code; a class that is not here has that of its base.
CODES: dict[type[BaseException], int] = {
    # The call can't work as made. Libxl, too, knows no domain but by failing to.
    UsageError: ERROR_INVAL,
    DomainNotFound: ERROR_FAIL,
    DomainBusy: ERROR_FAIL,
    DomainReused: ERROR_FAIL,
    ConfigRefused: ERROR_INVAL,
    DryRun: ERROR_FAIL,
    NotSupported: ERROR_NI,
    MigrationRefused: ERROR_FAIL,
    # Something that is needed does not work.
    BackendError: ERROR_FAIL,
    XenstoreError: ERROR_FAIL,
    QmpError: ERROR_QMP_GENERIC_ERROR,
    DomainOpError: ERROR_FAIL,
    HookFailed: ERROR_FAIL,
    # Outcomes of jobs; the first one if the loop itself is ended.
    asyncio.CancelledError: ERROR_ABORTED,
    Cancelled: ERROR_ABORTED,
    PolicyAborted: ERROR_ABORTED,
    TimedOut: ERROR_TIMEDOUT,
    HelperCrashed: ERROR_FAIL,
    ProtocolViolation: ERROR_FAIL,
    CallbackFailed: ERROR_FAIL,
    StreamError: ERROR_FAIL,
    XenError: ERROR_FAIL,
    GuestTimedOut: ERROR_GUEST_TIMEDOUT,
    GuestFailed: ERROR_FAIL,
    PeerFailed: ERROR_FAIL,
    MigrationOpen: ERROR_FAIL,
    ParentLost: ERROR_FAIL,
}


def rc_of(error: BaseException) -> int:
    """Give the return code of an error; what is not ours is ``ERROR_FAIL``."""
    if isinstance(error, QmpError) and isinstance(error.__cause__, TimeoutError):
        return ERROR_TIMEDOUT
    known = (CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    return next(known, ERROR_FAIL)
