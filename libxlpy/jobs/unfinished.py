"""What the repair after a failed job could not do: told, and done once more on request.

A device model that did not answer, a xenstored that was gone: minutes later the same
steps may work. Facts decide again what is to be done, so that nothing is done twice.
"""

import asyncio
from dataclasses import replace
from typing import Any

from libxlpy.errors import JobError
from libxlpy.jobs.operation import Plan
from libxlpy.jobs.run import JobRun
from libxlpy.ops import ops_helper
from libxlpy.process.helper import helper_argv
from libxlpy.recovery.claim import claim
from libxlpy.repair_facts import done_of, is_failed
from libxlpy.results import GuestState, JobReport

ASK = "hypervisor asked where the guest is"


def left_undone(details: JobReport) -> tuple[str, ...]:
    """Give what is left to do; nothing if all was repaired, or the guest is gone."""
    if details.guest is GuestState.GONE:
        return ()
    left = [done_of(fact) for fact in details.repairs if is_failed(fact)]
    unknown = details.guest is GuestState.UNKNOWN
    return tuple(dict.fromkeys([*left, *([ASK] if unknown else [])]))


class JobRecovery:
    """The rest of one job's repair."""

    def __init__(self, error: JobError, plan: Plan[Any], run: JobRun) -> None:
        """Take what is left; made by ``Job``.

        Args:
            error: The outcome; its details are brought up to date.
            plan: Knows how to repair.
            run: The job, ended.
        """
        self._error = error
        self._plan = plan
        self._run = run
        self._at_once = asyncio.Lock()

    @property
    def actions(self) -> tuple[str, ...]:
        """What is left to do; nothing once it is done."""
        return left_undone(self._error.details)

    async def perform(self) -> GuestState:
        """Try to do it, while the context is in use; does nothing if nothing is left.

        Returns:
            Where the guest is; ``actions`` says what is still left, and the outcome's
            details have what was done.

        Raises:
            DomainBusy: Somebody else works on the domain.
            UsageError: The context was left.
            BackendError: The hypervisor can't be asked.
        """
        async with self._at_once:
            if self.actions:
                await self._again()
            return self._error.guest

    async def _again(self) -> None:
        env = replace(self._run.env, argv=helper_argv)
        async with claim(env, self._plan.domid, "a recovery"), ops_helper(env):
            settled = await self._plan.settle(self._run)
        details = self._error.details
        done = [fact for fact in details.repairs if not is_failed(fact)]
        repairs = tuple(dict.fromkeys([*done, *settled.repairs]))
        self._error.details = replace(details, guest=settled.guest, repairs=repairs)
