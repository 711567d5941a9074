"""What the repair after a failed job could not do: told, and done once more on request.

A device model that did not answer, a xenstored that was gone: minutes later the same
steps may work. Facts decide again what is to be done, so that nothing is done twice.
"""

import asyncio

from libxlpy.domain.repair import done_of, is_failed
from libxlpy.errors import JobError
from libxlpy.jobs.run import JobRun
from libxlpy.recovery.claim import claim
from libxlpy.results.report import GuestState, JobReport

ASK = "hypervisor asked where the guest is"


def left_undone(details: JobReport) -> tuple[str, ...]:
    """Give what is left to do; nothing if all was repaired, or the guest is gone."""
    if details.guest is GuestState.GONE:
        return ()
    left = [done_of(fact) for fact in details.repairs if is_failed(fact)]
    unknown = details.guest is GuestState.UNKNOWN
    return tuple(dict.fromkeys([*left, *([ASK] if unknown else [])]))


class JobUnfinished:
    """The rest of one job's repair; see :class:`libxlpy.errors.Unfinished`."""

    def __init__(self, job: str, error: JobError, run: JobRun) -> None:
        """Take what is left; made by ``Job``.

        Args:
            job: Its name in the journal, which has it until all is done.
            error: The outcome; its details are brought up to date.
            run: The job, ended; its operation knows how to repair.
        """
        self._job = job
        self._error = error
        self._run = run
        self._at_once = asyncio.Lock()

    @property
    def actions(self) -> tuple[str, ...]:
        """What is left to do; nothing once it is done."""
        return left_undone(self._error.details)

    async def retry(self) -> GuestState:
        """Try to do it; see :meth:`libxlpy.errors.Unfinished.retry`."""
        async with self._at_once:
            if self.actions:
                await self._again()
            return self._error.guest

    async def _again(self) -> None:
        operation = self._run.operation
        env = operation.env
        async with claim(env, operation.domid, "a recovery", of=self._job) as claimed:
            async with env.hypercalls():
                settled = await operation.settle(self._run)
            details = self._error.details
            done = [fact for fact in details.repairs if not is_failed(fact)]
            repairs = tuple(dict.fromkeys([*done, *settled.repairs]))
            self._error.details = details.replace(guest=settled.guest, repairs=repairs)
            if self.actions:
                claimed.leave()
