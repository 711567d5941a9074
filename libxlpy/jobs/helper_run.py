"""One helper at work in a job: its calls, its deadlines, its failures, its end.

The first failure wins, and each one presses the helper to leave. The base of the run of
our own helper, and of Xen's.
"""

from abc import ABC, abstractmethod
from asyncio import Future
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from libxlpy.errors import JobError, TimedOut
from libxlpy.jobs.failures import (
    PARENT_SILENT,
    broken_by,
    crash_of,
    defect_of,
    failure_of,
    overrun_of,
)
from libxlpy.jobs.open_calls import OpenCalls
from libxlpy.jobs.operation import Operation, Run
from libxlpy.jobs.record import Record
from libxlpy.jobs.watchdog import Watchdog
from libxlpy.process.escalation import Step
from libxlpy.process.helper import HelperProcess
from libxlpy.process.link import Link
from libxlpy_protocol.messages import Complete

AnyLink = TypeVar("AnyLink", bound=Link)


class HelperRun(ABC, Generic[AnyLink]):
    """One helper of one job, on whatever wire."""

    #: Deadlines after which it can't be trusted to react, or be told anything.
    hopeless: ClassVar[frozenset[str]]
    #: What it is called in later failures; "" for the helper of the job.
    name: ClassVar[str] = ""

    def __init__(self, operation: Operation[Any], run: Run, record: Record) -> None:
        """Begin with no helper.

        Args:
            operation: Answers the helper's calls.
            run: The job.
            record: What is noted of the job.
        """
        # ----- set by the caller -----
        self.operation = operation
        self.record = record
        self.deadlines = operation.deadlines
        # ----- results -----
        self.failure: JobError | None = None
        self.complete: Complete | None = None
        self.link: AnyLink | None = None
        # ----- for those who derive -----
        self._watchdog = Watchdog(self.guarded(self._deadline_passed))
        self._calls = OpenCalls(
            operation,
            run,
            failed=lambda error: self.fail(error, Step.FAILING),
            defect=self.defect,
        )

    # ----- failures ---------------------------------------------------------------

    def fail(self, error: JobError, step: Step = Step.WORK) -> None:
        """Take note of a failure, the first one wins, and press the helper to leave.

        Args:
            error: What happened.
            step: How hard to press.
        """
        if self.failure is None:
            self.failure = error
            self.record.failed_phase = self.record.failed_phase or self.record.phase
        else:
            self.record.later.append(str(error))
        self._demand(step)

    def defect(self, error: Exception) -> None:
        """Fail of what nothing should have raised; what the helper does is moot."""
        self.fail(defect_of(error), Step.KILL)

    def guarded(self, function: Callable[..., None]) -> Callable[..., None]:
        """Give a function for the event loop to call: what it raises is a failure."""

        def call(*arguments: Any) -> None:
            try:
                function(*arguments)
            except Exception as exc:  # the boundary to the loop, which only logs it
                self.defect(exc)

        return call

    def _deadline_passed(self, name: str, seconds: float) -> None:
        step = Step.KILL if name in self.hopeless else Step.ABORT
        self.fail(TimedOut(name, seconds), step)

    def _climbed(self, step: Step, bound: str) -> None:
        """Take note that the helper did not leave in time and what is done next."""
        seconds = getattr(self.deadlines, bound)
        if self.failure is None:
            completed = self.complete is not None
            self.fail(overrun_of(bound, seconds, completed=completed))
        else:
            who = f"{self.name}: " if self.name else ""
            text = f"{who}{bound} of {seconds:g} s passed: {step.name}"
            self.record.later.append(text)
        if step >= Step.ABORT:
            self._calls.stop()

    # ----- pressure ---------------------------------------------------------------

    def _demand(self, step: Step) -> None:
        if self.link is None:
            return
        if step >= Step.LEAVE:
            self._stop_watching()
        if step >= Step.ABORT:
            self._calls.stop()
        self.link.escalation.demand(step)

    def _stop_watching(self) -> None:
        self._watchdog.close()

    # ----- the end ----------------------------------------------------------------

    def _judge(self, complete: Complete) -> None:
        """Take the helper's verdict as a failure, if it is one."""
        if self.failure is None and (complete.retval != 0 or complete.aborted):
            hint = self.record.first_error
            failure = failure_of(complete, hint, self.operation.library)
            self.fail(self._calls.blamed(failure), Step.LEAVE)
        self._demand(Step.LEAVE)

    def _ended(self, ended: "Future[Exception | None]") -> None:
        """Take the end of the conversation."""
        error = ended.result()
        if error is not None:
            self.fail(broken_by(error), Step.KILL)
        self._calls.stop()
        self._demand(Step.LEAVE)

    async def _helper_gone(self) -> None:
        """Wait until the helper is dead, or given up, and all it said was read."""
        if self.link is None:
            return
        process = self.link.process
        status = await self.link.escalation.run()
        await self.link.drain()
        self._report(process, await process.place())
        if self.failure is not None:
            return
        assert status is not None  # what is done about one that stays is a failure
        if status.status == PARENT_SILENT:
            self.fail(TimedOut("parent_silent", self.deadlines.parent_silent))
            return
        crash = crash_of(
            status,
            self._last_words(process),
            completed=self.complete is not None,
            oom=await process.oom_proof(),
        )
        if crash is not None:
            self.fail(crash)

    @abstractmethod
    def _report(self, process: HelperProcess, end: str) -> None:
        """Take note of how the helper has ended."""

    def _last_words(self, process: HelperProcess) -> str:
        """Give what the helper has said last, for the error of a crash."""
        return process.stderr.text()
