"""How a job fails: the first failure wins, and each one presses the helper to leave."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from libxlpy.errors import Cancelled, JobError, TimedOut
from libxlpy.events import StallEvent
from libxlpy.jobs.failures import crash_of, defect_of, stall_of
from libxlpy.jobs.record import Record
from libxlpy.jobs.stall import StallAction
from libxlpy.process.escalation import Step
from libxlpy.process.helper import ExitStatus

#: Deadlines after which the helper itself can't be trusted to react.
HOPELESS = frozenset({"hello", "heartbeat"})


class Failing(ABC):
    """The failures of one job; part of a ``JobRun``."""

    def __init__(self) -> None:
        self.record = Record()
        self.failure: JobError | None = None

    @abstractmethod
    def _demand(self, step: Step) -> None:
        """Press the helper to leave; how hard is the step."""

    # ----- for all ----------------------------------------------------------------

    @property
    def cancellable(self) -> bool:
        """Tell whether no outcome stands yet."""
        return self.record.complete is None and self.failure is None

    def cancel(self, reason: str) -> None:
        """Have the job aborted; nothing happens if it can't be any more."""
        if self.cancellable:
            self.fail(Cancelled(reason), Step.ABORT)

    def fail(self, error: JobError, step: Step = Step.WORK) -> None:
        """Take note of a failure, the first one wins, and press the helper to leave.

        Args:
            error: What happened.
            step: How hard to press.
        """
        if self.failure is None:
            self.failure = error
            self.record.failed_phase = self.record.phase
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

    # ----- what comes up ----------------------------------------------------------

    def _judge(self, status: ExitStatus | None, oom: str) -> None:
        """Tell whether a helper that no failure is known of did all it should.

        Args:
            status: How it ended.
            oom: Proves that it was killed for want of memory; "" if nothing does.
        """
        assert status is not None  # climbing the escalation is a failure by itself
        completed = self.record.complete is not None
        if crash := crash_of(
            status, self.record.stderr_tail, completed=completed, oom=oom
        ):
            self.fail(crash)

    def _deadline_passed(self, name: str, seconds: float) -> None:
        self.fail(
            TimedOut(name, seconds), Step.KILL if name in HOPELESS else Step.ABORT
        )

    def _stalled(self, event: StallEvent, action: StallAction) -> None:
        """Tell a stall; end the job if its policy says so."""
        self.record.feed.publish(event)
        if action is StallAction.ABORT:
            self.fail(stall_of(event), Step.ABORT)
        else:
            self.record.later.append(f"stall: {event.text}: {event.action}")
