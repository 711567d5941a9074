"""An operation of libxl's convention whose initiating call was interrupted."""

from collections.abc import Awaitable
from typing import Any, cast

import pytest

from libxlpy import Context
from libxlpy.jobs.operation import Run
from libxlpy.libxl.ao import Ao
from libxlpy.libxl.codes import ERROR_ABORTED
from libxlpy.results.report import GuestState, Settled
from libxlpy_protocol.messages import CallMessage
from tests.support.scripted_jobs import FakeOperation, StartJob

pytestmark = pytest.mark.usefixtures("nothing_blocks")


class SaveOperation(FakeOperation):
    """A save that can be undone."""

    undone = False

    async def abandon(self, run: Run) -> Settled:
        self.undone = True
        return Settled(GuestState.RUNNING, ("guest resumed",))


async def run(start_job: StartJob, *, interrupted: bool) -> tuple[Ao, SaveOperation]:
    """Run a save whose caller is interrupted when it is too late to abort."""
    ao = Ao("save", 7, None, lambda ao: None)

    async def suspend(call: CallMessage) -> int:
        ao.disowned = interrupted
        return 1

    operation = SaveOperation(on_call=suspend)

    async def begin(context: Context) -> Awaitable[Any]:
        return start_job("good", operation)

    await ao.run(cast(Context, None), begin, lambda result: None)
    ao.complete()
    return ao, operation


async def test_success_that_nobody_hears_of_is_undone(start_job: StartJob):
    ao, operation = await run(start_job, interrupted=True)
    assert operation.undone
    assert ao.ended.result() == ERROR_ABORTED
    assert ao.outcome.guest is GuestState.RUNNING


async def test_success_that_is_heard_of_stands(start_job: StartJob):
    ao, operation = await run(start_job, interrupted=False)
    assert not operation.undone
    assert ao.ended.result() == 0
