"""Which failure a helper's verdict, or its end without one, stands for."""

import errno
import traceback

from libxlpy.errors import (
    Cancelled,
    GuestFailed,
    HelperCrashed,
    JobError,
    ProtocolViolation,
    StreamError,
    TimedOut,
    XenError,
    last_line,
)
from libxlpy.events import StallEvent
from libxlpy.process.helper import ExitStatus
from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.messages import Complete

#: What a read or write of the stream can fail with; no hypercall fails with these.
STREAM_ERRNOS = frozenset(
    {
        *(errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPROTO),
        *(errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.ENOTCONN),
        *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EROFS),
        errno.ENODATA,
    }
)


#: Exit status of a helper that has let the guest run, as nothing was heard of us.
PARENT_SILENT = 9


def crash_of(
    status: ExitStatus, stderr: str, *, completed: bool, oom: str = ""
) -> HelperCrashed | None:
    """Give the failure that a helper's end stands for; None if it ended well.

    Args:
        status: How it ended.
        stderr: Its last words.
        completed: It had delivered its verdict.
        oom: Proves that the kernel killed it for want of memory.
    """
    if completed and status.signal is None and not status.status:
        return None
    hint = "after it had completed" if completed else last_line(stderr)
    return HelperCrashed(status.signal, status.status, hint=hint, oom=oom)


def overrun_of(bound: str, seconds: float, *, completed: bool) -> JobError:
    """Give the failure of a helper of which none is known, but which did not leave.

    Args:
        bound: Deadline that passed, ``seconds`` long.
        seconds: See ``bound``.
        completed: It had delivered its verdict.
    """
    if completed:
        return TimedOut(bound, seconds)
    return ProtocolViolation("it closed its pipe but did not exit")


def stall_of(event: StallEvent) -> JobError:
    """Give the failure of a job that was ended by its stall policy."""
    if event.signal == "iterations":
        return Cancelled(f"precopy does not converge: {event.text}")
    return TimedOut(event.signal, event.bound)


def broken_by(error: Exception) -> JobError:
    """Give the failure that the end of a conversation with a helper stands for.

    Args:
        error: What ended it.
    """
    if isinstance(error, RemoteProtocolError):
        return ProtocolViolation(str(error), error.frame)
    return defect_of(error)


def defect_of(error: Exception) -> JobError:
    """Give the failure that a defect of ours stands for; its report has the traceback.

    Args:
        error: What nothing should have raised.
    """
    *_, where = traceback.extract_tb(error.__traceback__) or [None]
    place = f" ({where.filename}:{where.lineno})" if where is not None else ""
    text = f"{type(error).__name__}: {error}{place}"
    failure = JobError(f"a defect of libxlpy, please report it: {text}")
    failure.__cause__ = error
    return failure


def failure_of(complete: Complete, hint: str, library: str = "libxenguest") -> JobError:
    """Give the failure that a helper's verdict stands for.

    Args:
        complete: Its verdict, not a success.
        hint: The first error that it logged.
        library: What it hosts.
    """
    if complete.errnoval == errno.ESTALE:
        return GuestFailed("gone", "the guest has ended")
    if complete.aborted:
        return Cancelled("cancelled by request: `xlpy abort`, or SIGTERM to its helper")
    if complete.errnoval in STREAM_ERRNOS:
        return StreamError(complete.errnoval, hint)
    return XenError(complete.retval, complete.errnoval, hint, library)
