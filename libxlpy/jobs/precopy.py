"""Decide, pass by pass, how the live copy of one job goes on.

First what somebody has ordered, then the policy, which may be another one by now. A
stop that would not end within the job's deadline ``total`` is held back: the guest
would be suspended for nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from libxlpy.callbacks import PrecopyAnswer, PrecopyStats
from libxlpy.errors import PolicyAborted
from libxlpy.events import PrecopyEvent
from libxlpy.jobs.record import Record
from libxlpy.later import Later
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE

if TYPE_CHECKING:
    from libxlpy import policies
    from libxlpy.policies import AnyPolicy, Passes, PrecopyView
else:  # of a live copy only, whose operation has it loaded before it begins
    policies = Later("libxlpy.policies")

#: Phase while passes are made and the policy is asked.
PRECOPY = "precopy"
#: Phase once somebody has said to stop: the pass under way is the last one.
ENDING = "last pass"
#: What is told of an answer.
ACTIONS = {
    PrecopyAnswer.GO_ON: "go_on",
    PrecopyAnswer.STOP_AND_COPY: "stop_and_copy",
    PrecopyAnswer.ABORT: "abort",
}


class _Decision(Value):
    answer: PrecopyAnswer
    #: The policy would stop, but the pause would not end in time.
    held_back: bool = False


class Precopy:
    """How the passes of one job go on."""

    def __init__(
        self,
        policy: AnyPolicy | None,
        record: Record,
        enter: Callable[[str], None],
        total: float | None,
    ) -> None:
        """Begin before the first pass.

        Args:
            policy: Asked until another is set; None for libxenguest's own.
            record: Of the job: has its begin, hears what is decided.
            enter: Takes a phase of the job.
            total: The job's deadline ``total``.
        """
        self._policy = policy
        self._record = record
        self._enter = enter
        self._total = total
        self._passes: Passes
        self._asking: asyncio.Future[int] | None = None
        self._begun = False
        self._ordered = False
        self._stalled = False
        self._over = False

    # ----- what others want -------------------------------------------------------

    def set_policy(self, policy: AnyPolicy) -> bool:
        """Have another policy from the next question on; False: it is too late.

        Raises:
            UsageError: It is none.
        """
        checked = policies.checked_policy(policy)
        if self._over:
            return False
        self._policy = checked
        self._ask_again()
        return True

    def stop_now(self) -> bool:
        """Have the pass under way be the last, whatever the policy; False: too late."""
        if self._over:
            return False
        if not self._ordered:
            self._ordered = True
            if self._begun:
                self._enter(ENDING)
            self._ask_again()
        return True

    def stalled(self) -> None:
        """Have it be the last as a stall says so, if the deadline allows."""
        self._stalled = True

    def close(self) -> None:
        """Nothing is decided any more."""
        self._over = True

    def _ask_again(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    # ----- the question -----------------------------------------------------------

    async def decide(self, stats: PrecopyStats, pages: int) -> PrecopyAnswer:
        """Answer libxenguest.

        Args:
            stats: Its question.
            pages: Those that the guest has.

        Raises:
            PolicyAborted: The policy gives up.
            Exception: Whatever a policy raises.
        """
        self._begin()
        now = time.monotonic()
        self._passes.asked(stats, now)
        elapsed = now - self._record.began
        left = None if self._total is None else self._total - elapsed
        view = self._passes.view(stats, pages, elapsed=elapsed, left=left)
        self._record.meter.expect(view.expected_downtime)
        decision = await self._decision(view)
        self._tell(view, decision)
        self._over |= decision.answer is not PrecopyAnswer.GO_ON
        if decision.answer is PrecopyAnswer.ABORT:
            raise PolicyAborted(stats.iteration, aborted_at(view))
        self._passes.answered(stats, pages, time.monotonic())
        return decision.answer

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._passes = policies.Passes()
            self._enter(ENDING if self._ordered else PRECOPY)

    async def _decision(self, view: PrecopyView) -> _Decision:
        answer = PrecopyAnswer.STOP_AND_COPY
        if not (self._ordered or self._stalled):
            answer = await self._asked(view)
        if self._ordered:
            return _Decision(PrecopyAnswer.STOP_AND_COPY)
        if answer is PrecopyAnswer.STOP_AND_COPY and not policies.fits(view, view.left):
            return _Decision(PrecopyAnswer.GO_ON, held_back=True)
        return _Decision(answer)

    async def _asked(self, view: PrecopyView) -> PrecopyAnswer:
        """Ask the policy; once more, if another one is set while it thinks."""
        task = asyncio.current_task()
        while True:
            policy = policies.Xen() if self._policy is None else self._policy
            if isinstance(policy, policies.Policy):
                return PrecopyAnswer(policy.decide(view))
            self._asking = asyncio.ensure_future(policy(view))
            try:
                return PrecopyAnswer(await self._asking)
            except asyncio.CancelledError:
                changed = self._ordered or self._policy is not policy
                if not changed or (task is not None and task.cancelling()):
                    raise
                if self._ordered:
                    return PrecopyAnswer.STOP_AND_COPY
            finally:
                self._asking = None

    def _tell(self, view: PrecopyView, decision: _Decision) -> None:
        """Tell of a pass that was looked at; of others, if that was the last."""
        goes_on = decision.answer is PrecopyAnswer.GO_ON
        if not view.passes or (goes_on and view.dirty_count < 0):
            return
        last = view.passes[-1]
        action = ACTIONS[decision.answer]
        self._record.feed.publish(
            PrecopyEvent(
                iteration=last.number,
                pages_sent=last.pages_sent,
                seconds=last.seconds,
                dirty_found=last.dirty_found,
                mbps=None if view.rate is None else view.rate * PAGE_SIZE * 8 / 1e6,
                expected_downtime=view.expected_downtime,
                action="held_back" if decision.held_back else action,
            )
        )


def aborted_at(view: PrecopyView) -> str:
    """Give what was seen when a policy gave up."""
    dirty, downtime = view.dirty_count, view.expected_downtime
    facts = [f"{dirty} pages are dirty"] if dirty >= 0 else []
    if downtime is not None:
        facts.append(f"a downtime of {downtime:.0f} ms is to be expected")
    return ", ".join(facts)
