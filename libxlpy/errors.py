"""All that the parent raises, as one tree.

::

    LibxlpyError
     +- UsageError             the call can't work as made; nothing was done
     |   +- DomainNotFound     no such domid or name          .domain
     |   |   +- DomainReused   another domain has the domid   .domain
     |   +- DomainBusy         somebody works on it           .job .pid
     |   +- NotSupported       this backend can't do it
     |   +- ConfigRefused      no domain can be made of a configuration
     |   +- MigrationRefused   a host does not take a domain   .refusal
     |   +- DryRun             a sender has only asked
     +- BackendError           no Xen, no host, no permission, wrong library
     +- XenstoreError          xenstored refused or is gone   .code
     +- QmpError               the device model refused or is gone
     +- DomainOpError          a hypercall failed             .retval .errno
     +- HookFailed             a hook refuses a migration     .hook .when .why
     +- JobError               a job's outcome, or a defect   .guest .image .repairs ...
         +- Cancelled          on request
         |   +- PolicyAborted  its policy gave a live copy up  .iteration
         +- TimedOut           a deadline passed              .phase
         +- HelperCrashed      ended before Complete          .signal .status .oom
         +- ProtocolViolation  helper broke the protocol      .frame
         +- CallbackFailed     raised, or answered "failed"   .name .value
         +- StreamError        reading or writing the stream  .errno
         +- XenError           xc_domain_save/restore failed  .retval .errno
         +- GuestTimedOut      guest didn't suspend in time
         +- GuestFailed        guest ended instead            .reason
         +- PeerFailed         a migration's other end broke off  .failed .why
         +- MigrationOpen      which end has the guest, nobody here knows
         +- ParentLost         the parent died; found later

Names of outcomes are facts, not ``...Error`` (noqa N818): ``except Cancelled`` reads as
what happened. ``str(e)`` is one line; :meth:`JobError.report` is everything.
"""

from __future__ import annotations

import errno as errno_names
import os
import resource
import shlex
import signal as signals
from typing import TYPE_CHECKING, Protocol

from libxlpy_protocol.errors import LibxlpyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libxlpy.results.report import GuestState, ImageState, JobReport
    from libxlpy_protocol.migration.own import Refusal

#: Characters of a line of a process that messages show.
LINE_SHOWN = 500


class UsageError(LibxlpyError):
    """The call can't work as it was made; nothing was done."""


class DomainNotFound(UsageError):  # noqa: N818
    """There is no domain of that number or name."""

    def __init__(self, domain: int | str) -> None:
        self.domain = domain
        super().__init__(f"no such domain: {named(domain)}")


class DomainReused(DomainNotFound):
    """The domain has ended and its domid went to another one, which is not touched."""

    def __init__(self, domid: int) -> None:
        self.domain = domid
        UsageError.__init__(self, f"domain {domid} is another domain now: left alone")


class DomainBusy(UsageError):  # noqa: N818
    """Somebody works on the domain: ``job`` names the job, ``pid`` the process."""

    def __init__(self, domid: int, what: str, job: str = "", pid: int = 0) -> None:
        self.domid = domid
        self.job = job
        self.pid = pid
        who = f" (job {job} of process {pid})" if job else f" (process {pid})"
        super().__init__(
            f"domain {domid} is busy: {what} is under way{who if pid else ''}"
        )


class NotSupported(UsageError):  # noqa: N818
    """The backend in use can't do this."""


class ConfigRefused(UsageError):  # noqa: N818
    """No domain can be made of a configuration; another one is needed."""


class MigrationRefused(UsageError):  # noqa: N818
    """A host does not take a domain that is offered to it; nothing was done to it."""

    def __init__(self, refusal: Refusal, text: str) -> None:
        """Say so.

        Args:
            refusal: What is against it.
            text: The same in words, with what can be done.
        """
        self.refusal = refusal
        super().__init__(text)


class DryRun(UsageError):  # noqa: N818
    """A sender has only asked whether its domain could come; it has its answer."""


class BackendError(LibxlpyError):
    """There is no Xen or embedded host that could be used, or no right to use it."""


class XenstoreError(LibxlpyError):
    """Xenstored refused a request, broke its protocol or is gone.

    ``code`` is the name xenstored gave (``"ENOENT"``), ``""`` for a lost connection.
    """

    def __init__(self, message: str, code: str = "") -> None:
        self.code = code
        super().__init__(message)


class QmpError(LibxlpyError):
    """The device model refused a command, broke the protocol or is gone."""


class DomainOpError(LibxlpyError):
    """A hypercall made for the parent failed."""

    def __init__(self, op: str, domid: int, retval: int, errnoval: int) -> None:
        self.retval = retval
        self.errno = errnoval
        super().__init__(f"{op} of domain {domid} failed: {errno_text(errnoval)}")


class HookFailed(LibxlpyError):  # noqa: N818
    """A hook before a migration has failed, or may not be run: nothing was done."""

    def __init__(self, hook: str, when: str, why: str, stderr: str = "") -> None:
        """Say so.

        Args:
            hook: Its path, or that of the folder.
            when: As in ``"before-send"``.
            why: What was seen of it.
            stderr: The last that it has said there; its last line is in the message.
        """
        self.hook = hook
        self.when = when
        self.why = why
        self.stderr = stderr
        said = last_line(stderr)
        text = f"hook {hook} ({when}) failed: {why}"
        super().__init__(f"{text}: {said}" if said else text)


# ----- outcomes of jobs -----------------------------------------------------------


class Unfinished(Protocol):
    """What the repair after a failed job could not do, and does it on request."""

    @property
    def actions(self) -> tuple[str, ...]:
        """What is left to do; nothing once it is done."""
        ...

    async def retry(self) -> GuestState:
        """Try to do it, while the context is in use; does nothing if nothing is left.

        Returns:
            Where the guest is; ``actions`` says what is still left, and the outcome's
            details have what was done.

        Raises:
            DomainBusy: Somebody else works on the domain.
            UsageError: The context was left.
            BackendError: The hypervisor can't be asked.
        """
        ...


class JobError(LibxlpyError):
    """A job did not reach its aim; ``details`` is complete once the job has ended.

    Itself, not one of its kinds: libxlpy has a defect; the report has the traceback.
    """

    def __init__(self, message: str) -> None:
        from libxlpy.results.report import JobReport  # what has not failed needs none

        super().__init__(message)
        self.details: JobReport = JobReport(what="", domid=-1)
        #: What is left to do, and does it; None if all was repaired.
        self.unfinished: Unfinished | None = None

    @property
    def guest(self) -> GuestState:
        """Where the guest is, as the hypervisor said after the job had ended."""
        return self.details.guest

    @property
    def image(self) -> ImageState:
        """What the stream holds."""
        return self.details.image

    @property
    def repairs(self) -> tuple[str, ...]:
        """What was repaired, short facts in order."""
        return self.details.repairs

    @property
    def phase(self) -> str:
        """Phase in which the job failed."""
        return self.details.phase

    def __str__(self) -> str:
        """Give what happened, to what, and where the guest is, in one line."""
        text = " ".join(super().__str__().split())
        if not self.details.what:
            return text
        return f"{self.details.what}: {text} (guest {self.guest.value})"

    def report(self) -> str:
        """Give everything that is known, one fact a line."""
        lines = [f"error: {self}", *self.details.lines()]
        if self.unfinished is not None:
            lines += [f"left to do: {action}" for action in self.unfinished.actions]
        if self.__cause__ is not None:
            import traceback

            text = "".join(traceback.format_exception(self.__cause__))
            lines += [f"cause: {line}" for line in text.splitlines()]
        return "\n".join(lines)


class Cancelled(JobError):  # noqa: N818
    """The job was cancelled on request."""

    def __init__(self, reason: str = "cancelled") -> None:
        super().__init__(reason)


class PolicyAborted(Cancelled):
    """The policy of a live save gave it up; ``iteration`` is the number of passes."""

    def __init__(self, iteration: int, why: str = "") -> None:
        self.iteration = iteration
        text = f"precopy_policy chose to abort in pass {iteration}"
        super().__init__(f"{text}: {why}" if why else text)


class TimedOut(JobError):  # noqa: N818
    """A deadline passed; ``deadline`` names the one, ``seconds`` its length."""

    def __init__(self, deadline: str, seconds: float) -> None:
        self.deadline = deadline
        self.seconds = seconds
        super().__init__(f"deadline {deadline!r} of {seconds:g} s passed")

    @property
    def phase(self) -> str:
        """Name of the deadline that passed."""
        return self.deadline


class HelperCrashed(JobError):  # noqa: N818
    """The helper ended before it had delivered its verdict.

    ``signal`` or ``status`` is set; both are None when another part of this process
    reaped the helper first and its status is lost. ``oom`` is what proves that it was
    killed for want of memory, ``""`` if nothing does.
    """

    def __init__(
        self,
        signal: int | None = None,
        status: int | None = None,
        *,
        how: str = "",
        hint: str = "",
        oom: str = "",
    ) -> None:
        self.signal = signal
        self.status = status
        self.oom = oom
        text = how or f"helper died: {exit_text(signal=signal, status=status)}"
        if oom:
            text += f", for want of memory ({oom})"
        super().__init__(f"{text}{': ' + hint if hint else ''}")


class ProtocolViolation(JobError):  # noqa: N818
    """The helper sent what it must not; it was killed."""

    def __init__(self, message: str, frame: bytes = b"") -> None:
        self.frame = frame
        super().__init__(f"helper broke the protocol: {message}")


class CallbackFailed(JobError):  # noqa: N818
    """A callback raised, the original is ``__cause__``; or it answered "failed"."""

    def __init__(
        self, name: str, cause: BaseException | None, value: object = None
    ) -> None:
        self.name = name
        #: What it answered, if it did.
        self.value = value
        why = f"it answered {value!r}"
        if cause is not None:
            why = str(cause) or type(cause).__name__
        super().__init__(f"callback {name} failed: {why}")
        self.__cause__ = cause


class StreamError(JobError):
    """Reading or writing the stream failed; ``hint`` is what was logged first."""

    def __init__(self, errnoval: int, hint: str = "") -> None:
        self.errno = errnoval
        text = f"stream failed: {errno_text(errnoval)}"
        super().__init__(f"{text}: {hint}" if hint else text)


class XenError(JobError):
    """What a library of Xen's did has failed; ``hint`` is its first log line."""

    def __init__(
        self,
        retval: int,
        errnoval: int,
        hint: str = "",
        library: str = "libxenguest",
        how: str = "",
    ) -> None:
        self.retval = retval
        self.errno = errnoval
        self.library = library
        why = f"{errno_text(errnoval)}{': ' + hint if hint else ''}"
        super().__init__(how or f"{library} returned {retval}: {why}")


class GuestTimedOut(JobError):  # noqa: N818
    """The guest was asked to suspend and really did not do it in time."""


class GuestFailed(JobError):  # noqa: N818
    """The guest ended (poweroff, reboot, crash, gone) before it was saved."""

    def __init__(self, reason: str, how: str = "") -> None:
        self.reason = reason
        super().__init__(how or f"guest did not suspend: {reason}")


class PeerFailed(JobError):  # noqa: N818
    """The other end of a migration did not do what was due."""

    def __init__(self, failed: str, why: str) -> None:
        """Say so.

        Args:
            failed: As in ``did not say "domain received, ready to unpause"``.
            why: What was seen instead.
        """
        self.failed = failed
        self.why = why
        super().__init__(f"the other end {failed}: {why}")


class MigrationOpen(JobError):  # noqa: N818
    """Nobody here can tell whether a guest runs at the other end by now.

    The copy here is left as it was, suspended or paused: facts of both ends have to
    decide.
    """


class ParentLost(JobError):  # noqa: N818
    """The process that ran the job died; the job was found and repaired later."""


# ----- texts ----------------------------------------------------------------------


def named(domain: int | str) -> str:
    """Give a name as it was given: in quotes if it has what is no part of one."""
    return shlex.quote(f"{domain!s:.80}")


def errno_text(errnoval: int) -> str:
    """Give ``"No space left on device (ENOSPC)"`` for an errno value."""
    name = errno_names.errorcode.get(errnoval, str(errnoval))
    return f"{os.strerror(errnoval)} ({name})" if errnoval > 0 else "no errno"


def reason_of(exc: OSError, helps: Mapping[int, str] | None = None) -> str:
    """Give why the system refused, without Python's numbers, and what helps.

    Args:
        exc: The system's error.
        helps: What else helps here, by the number of the error.
    """
    text = exc.strerror or str(exc)
    match exc.errno:
        case errno_names.EMFILE:
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            return f"{text}; the limit is {limit}: raise it (ulimit -n)"
        case errno_names.ENFILE:
            return f"{text}; raise that of the whole machine (sysctl fs.file-max)"
        case number:
            return text + (helps or {}).get(number or 0, "")


def exit_text(*, signal: int | None, status: int | None) -> str:
    """Give how a process ended as text."""
    if signal is not None:
        names = {each.value: each.name for each in signals.Signals}
        return f"signal {names.get(signal, signal)}"
    return "status unknown" if status is None else f"exit status {status}"


def last_line(text: str) -> str:
    """Give the last line of a text that is not empty, cut as by :func:`shown`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return shown(lines[-1]) if lines else ""


def shown(line: str) -> str:
    """Give a line that a process has said; one that is long is cut in its middle."""
    half = LINE_SHOWN // 2
    return line if len(line) <= LINE_SHOWN else f"{line[:half]}...{line[-half:]}"
