"""What goes wrong only because something else did is not told as the failure."""

import asyncio

import pytest

from libxlpy.errors import BackendError, HelperCrashed
from libxlpy_protocol.enums import Op
from libxlpy_protocol.messages import CallMessage
from tests.support.scripted_jobs import FakeOperation, StartJob

pytestmark = pytest.mark.usefixtures("nothing_blocks")


async def test_hypercall_that_meets_the_helpers_end_is_no_failed_callback(
    start_job: StartJob,
):
    """The callback runs after the end was read and before the job is told of it."""

    async def asks_too_late(call: CallMessage) -> int:
        link = job._run.link
        while not link.pump.ended:
            await asyncio.sleep(0)
        with pytest.raises(BackendError) as caught:
            await link.op(Op.INFO, job.domid)
        refused.append(str(caught.value))
        raise caught.value

    refused: list[str] = []
    job = start_job("asks_and_dies", FakeOperation(on_call=asks_too_late))
    with pytest.raises(HelperCrashed) as caught:
        await job
    assert refused
    assert any(refused[0] in text for text in caught.value.details.later_errors)
