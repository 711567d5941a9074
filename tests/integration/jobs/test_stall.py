"""A save that does not get on, stopped and copied, or told by the callback's name."""

import asyncio
import os

import pytest

from libxlpy import (
    Context,
    SaveCallbacks,
    StallAction,
    StallEvent,
    StallPolicy,
    SuspendFlags,
    TimedOut,
)
from tests.support.guest import Guest, aside
from tests.support.real_host import QUICK


def read_all(fd: int) -> int:
    size = 0
    while data := os.read(fd, 1 << 20):
        size += len(data)
    return size


async def test_save_whose_stream_stalls_stops_and_copies(ctx: Context, pv: Guest):
    reading, writing = os.pipe()
    policy = StallPolicy(bytes_age=0.3, on_bytes=StallAction.STOP_AND_COPY)
    job = await ctx.domain_suspend(pv.domid, writing, SuspendFlags.LIVE, stall=policy)
    async for event in job.events():
        if isinstance(event, StallEvent):
            break
    assert not job.done()
    drain = asyncio.create_task(aside(read_all, reading))
    result = await job
    os.close(writing)
    assert await drain >= result.pages * 4096
    os.close(reading)
    assert len(result.statistics.history) == 2  # one while it ran, one suspended
    assert any("stop_and_copy" in text for text in result.report.later_errors)
    await ctx.domain_resume(pv.domid)
    await aside(pv.assert_untouched)


async def test_default_policy_is_libxc_s_when_ours_is_asked(ctx: Context, host):
    policy = StallPolicy(bytes_age=3600, on_bytes=StallAction.STOP_AND_COPY)
    with (
        Guest(host, "pv", rate=0) as idle,
        open(os.devnull, "wb", buffering=0) as null,  # noqa: PTH123
    ):
        save = ctx.domain_suspend(
            idle.domid, null.fileno(), SuspendFlags.LIVE, stall=policy
        )
        asked = await (await save)
        await ctx.domain_resume(idle.domid)
        alone = await (
            await ctx.domain_suspend(idle.domid, null.fileno(), SuspendFlags.LIVE)
        )
    passes = [each.number for each in asked.statistics.history]
    assert passes == [each.number for each in alone.statistics.history]
    assert asked.statistics.callbacks["precopy_policy"].count > 0
    assert alone.statistics.callbacks["precopy_policy"].count > 0


async def test_callback_has_a_deadline_of_its_own(ctx: Context, pv: Guest):
    async def never() -> int:
        return await asyncio.Future()

    deadlines = QUICK.replace(per_callback={"suspend": 0.2})
    with open(os.devnull, "wb", buffering=0) as null:  # noqa: PTH123
        job = await ctx.xc_domain_save(
            pv.domid, null.fileno(), SaveCallbacks(suspend=never), deadlines=deadlines
        )
        with pytest.raises(TimedOut) as caught:
            await job
    assert caught.value.seconds == 0.2
    await aside(pv.assert_untouched)


@pytest.mark.parametrize("deadline", ["no_progress", "stop_and_copy"])
async def test_stream_that_nobody_reads_is_no_progress(
    ctx: Context, pv: Guest, deadline: str
):
    """Heartbeats go on, and they are bytes that are written, too."""
    reading, writing = os.pipe()
    deadlines = QUICK.replace(**{deadline: 1.5}, total=30)  # several heartbeats
    try:
        job = await ctx.domain_suspend(pv.domid, writing, deadlines=deadlines)
        with pytest.raises(TimedOut) as caught:
            await job
    finally:
        os.close(reading)
        os.close(writing)
    assert caught.value.deadline == deadline
    await aside(pv.assert_untouched)
