"""A running job, as its caller holds it: await it, watch it, cancel it."""

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any, Generic

from libxlpy.aio import finish
from libxlpy.errors import Cancelled, JobError, UsageError
from libxlpy.events import JobEvent
from libxlpy.jobs.guard import Guard
from libxlpy.jobs.meter import Meter
from libxlpy.jobs.operation import Operation, Result
from libxlpy.jobs.run import JobRun, Note
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.jobs.unfinished import JobUnfinished, left_undone
from libxlpy.journal.reports import filed
from libxlpy.process.escalation import Step
from libxlpy.results.report import Settled
from libxlpy.results.statistics import Statistics
from libxlpy_protocol.value import Value

if TYPE_CHECKING:
    from libxlpy.policies import AnyPolicy


class CancelKind(enum.Enum):
    """What became of a request to cancel."""

    #: The job was aborted by it.
    ACCEPTED = "accepted"
    #: As ACCEPTED, but the helper had to be killed.
    ESCALATED = "escalated"
    #: The job had ended before.
    ALREADY_DONE = "already done"
    #: The helper's work was complete, or had failed, before; that outcome stands.
    TOO_LATE = "too late"


class CancelAnswer(Value):
    """The answer to a request to cancel; the same to all that come before the end."""

    kind: CancelKind
    #: Phase the job was in when it was asked.
    phase: str


class Job(Generic[Result]):
    """One operation under way; ``await`` it for its result.

    Cancelling whoever awaits it cancels the job and waits, bounded by the deadlines,
    until the guest is looked after; also if cancelled again meanwhile.
    """

    def __init__(
        self,
        operation: Operation[Result],
        stream: StreamFd,
        ended: Callable[[bool], None],
        note: Note | None = None,
        name: str = "",
    ) -> None:
        """Start the job; made by ``Context``.

        Args:
            operation: What to do.
            stream: Checked stream, closed at the end.
            ended: Called when everything has stopped, with whether it went well.
            note: Writes down how far it is.
            name: In the journal.
        """
        self._operation = operation
        self._name = name
        self._stream = stream
        self._reports = operation.env.backend.reports_dir
        self._run = JobRun(operation, stream, note)
        self._ended = ended
        self._outcome: Result | JobError | None = None
        self._taken = False
        self._undone: Callable[[], None] | None = None
        self._task = asyncio.create_task(self._live(), name=f"libxlpy {operation.what}")

    async def _live(self) -> None:
        """Run to the end and keep the outcome; raises nothing that is an outcome."""
        run = self._run
        try:
            await run.run()
            self._conclude(run.settled)
        except Exception as exc:  # no result: nobody would know what the job has done
            run.defect(exc)
            await self._undo()
        finally:
            if self._stream.is_ours:
                await self._end()

    async def _end(self) -> None:
        """Have the outcome told, and all given free."""
        try:
            if self._outcome is None:
                self._conclude(self._run.settled)
            await self._file()
            if self.error is not None and self._run.guard is not None:
                await self._run.guard.release()
        finally:
            self._free()

    async def _file(self) -> None:
        """Have the report of a failure written down, if that is quickly done."""
        error, link = self.error, self._run.link
        if error is not None and self._name:
            said = None if link is None else link.session.peer
            error.details = await filed(self._reports, self._name, error, said)

    def _free(self) -> None:
        try:
            self._ended(self._run.failure is None)
        except Exception as exc:  # the outcome stands; the loop tells of it
            what = {"message": f"{self.what} can't be cleared away", "exception": exc}
            asyncio.get_running_loop().call_exception_handler(what)

    async def _undo(self) -> None:
        """Undo a job that went well, if its operation does."""
        try:
            settled = await self._operation.abandon(self._run)
        except Exception as exc:  # the boundary to the operations
            self._run.defect(exc)
            settled = self._run.settled
        if settled is not None:
            if self._run.failure is None:
                self._run.fail(Cancelled("nobody took its result"))
            self._conclude(settled)

    def _conclude(self, settled: Settled) -> None:
        run = self._run
        report = run.record.report(
            self.what, self._operation.domid, settled.guest, settled.repairs
        )
        if run.failure is None:
            self._outcome = self._operation.result(run, report)
        else:
            run.failure.details = report
            if left_undone(report) and (run.started or report.failed_repairs):
                run.failure.unfinished = JobUnfinished(self._name, run.failure, run)
            self._outcome = run.failure

    # ----- for the caller ---------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the job on this machine, as `xlpy jobs` lists it."""
        return self._name

    @property
    def what(self) -> str:
        """What the job is, as in messages."""
        return self._operation.what

    @property
    def domid(self) -> int:
        """Domain the job is about."""
        return self._operation.domid

    @property
    def phase(self) -> str:
        """Phase the job is in."""
        return self._run.record.phase

    @property
    def helper_pid(self) -> int | None:
        """Process id of the helper; None before it was started."""
        link = self._run.link
        return None if link is None else link.process.pid

    @property
    def stream_fd(self) -> int:
        """Our duplicate of its stream's descriptor; -1 once nothing uses it."""
        return self._stream.fd

    def done(self) -> bool:
        """Tell whether the job has ended."""
        return self._task.done()

    async def ended(self) -> None:
        """Wait until the job has ended, however; raises nothing of its outcome."""
        await asyncio.wait([self._task])

    @property
    def kind(self) -> str:
        """What is done: ``"save"``, ``"restore"``, ``"xc_domain_save"`` ..."""
        return self._operation.kind

    @property
    def error(self) -> JobError | None:
        """How it failed; None if it has not, or not ended yet."""
        return self._outcome if isinstance(self._outcome, JobError) else None

    @property
    def guard(self) -> Guard | None:
        """Who looks after the guest of a save that went well; None if nobody does."""
        return self._run.guard

    @property
    def is_unfinished(self) -> bool:
        """Tell whether its repair could not do all; see ``Unfinished``."""
        return self.error is not None and self.error.unfinished is not None

    def cancelled(self) -> bool:
        """Tell whether it has ended because it was cancelled."""
        return isinstance(self._outcome, Cancelled)

    def listen(self, listener: Callable[[JobEvent], None]) -> None:
        """Have a function called with each event; it must neither block nor raise."""
        self._run.record.feed.listen(listener)

    def when_undone(self, told: Callable[[], None]) -> None:
        """Have a function called should the job be undone after it has ended well."""
        self._undone = told

    def events(self) -> AsyncIterator[JobEvent]:
        """Iterate over what happens from now on, until the job ends.

        Bounded: a reader that is too slow loses the oldest events.
        """
        return self._run.record.feed.subscribe()

    @property
    def meter(self) -> Meter:
        """What measures it."""
        return self._run.record.meter

    @property
    def statistics(self) -> Statistics:
        """Figures of this moment; once it has ended, those of its end."""
        return self._run.record.meter.snapshot()

    def statistics_stream(self) -> AsyncIterator[Statistics]:
        """Iterate over its figures, twice a second; the last are those of its end."""
        return self._run.record.meter.stream(self._run.record.feed)

    def __await__(self) -> Generator[Any, None, Result]:
        """Wait for the result.

        Raises:
            JobError: The job failed; says all about it.
            UsageError: We are a child that was forked, and the job our parent's.
        """
        return self._wait().__await__()

    async def _wait(self) -> Result:
        self._check_ours()
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if self._stream.is_ours:  # else we are a child, forked meanwhile
                self.request_cancel("whoever awaited it was cancelled")
                await finish(asyncio.create_task(self.close()))
            raise
        outcome = self._outcome
        if isinstance(outcome, JobError):
            raise outcome
        assert outcome is not None  # set by _live before it ends
        self._taken = True
        return outcome

    # ----- while its guest runs ---------------------------------------------------

    def set_policy(self, policy: "AnyPolicy") -> bool:
        """Have another policy say how a live copy goes on, from its next pass.

        Args:
            policy: As for ``Context.domain_suspend``.

        Returns:
            False if it is too late: the last pass has begun, or the job has ended.

        Raises:
            UsageError: ``policy`` is none, or none is asked: the save is not live, or
                by Xen's own helper. Or as of ``await``.
        """
        self._check_ours()
        self._operation.check_asks()
        return self._run.precopy.set_policy(policy)

    def stop_and_copy_now(self) -> bool:
        """Have the guest suspended after the pass under way; idempotent.

        Whatever the policy says, and however long the pause will be.

        Returns:
            As :meth:`set_policy`.

        Raises:
            UsageError: As of :meth:`set_policy`.
        """
        self._check_ours()
        self._operation.check_asks()
        return self._operation.last_pass(self._run)

    @property
    def cancellable(self) -> bool:
        """Tell whether a cancel would still stop it: no outcome stands yet."""
        return self._run.cancellable

    def request_cancel(self, reason: str = "cancelled") -> None:
        """Have the job aborted, without waiting; idempotent.

        Raises:
            UsageError: As of ``await``.
        """
        self._check_ours()
        self._run.cancel(reason)

    async def cancel(self, reason: str = "cancelled") -> CancelAnswer:
        """Abort the job and wait until it has ended; idempotent.

        Args:
            reason: Is told in the outcome.

        Raises:
            UsageError: A callback of the job asks; it would wait for itself. Or as of
                ``await``.
        """
        self._check_ours()
        phase = self.phase
        if self._task.done():
            return CancelAnswer(CancelKind.ALREADY_DONE, phase)
        if self._run.runs_here():
            raise UsageError("a callback can't wait for its job: use request_cancel()")
        self.request_cancel(reason)
        await finish(self._task)
        return CancelAnswer(self._cancel_kind(), phase)

    def _check_ours(self) -> None:
        self._stream.check_ours("this job")

    def _cancel_kind(self) -> CancelKind:
        if not isinstance(self._run.failure, Cancelled):
            return CancelKind.TOO_LATE
        link = self._run.link
        killed = link is not None and link.escalation.step >= Step.KILL
        return CancelKind.ESCALATED if killed else CancelKind.ACCEPTED

    async def close(self) -> None:
        """Cancel the job if it has not ended; wait until nothing of it is left.

        A save that succeeds all the same, but whose result nobody has taken, is undone:
        nobody would know that the guest is suspended.

        Raises:
            UsageError: As of ``await``.
        """
        self.request_cancel("its context was left")
        await asyncio.wait([self._task])
        if self._run.failure is None and not self._taken:
            self._taken = True
            await self._undo()
            await self._file()
            if self.error is not None and self._undone is not None:
                self._undone()
