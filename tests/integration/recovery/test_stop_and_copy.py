"""A job of another process, or context, is told to stop and copy by its helper."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from libxlpy import (
    Context,
    Job,
    PrecopyEvent,
    RestoreResult,
    SaveResult,
    StopAnswer,
    SuspendFlags,
    UsageError,
    policies,
)
from tests.support.guest import Guest, aside, reach

LIVE = SuspendFlags.LIVE
ENDLESS = policies.Xen(max_iters=1 << 30, min_remaining=0)


async def passes(job: Job[SaveResult], number: int) -> None:
    """Wait until so many passes have ended."""
    async for event in job.events():
        number -= isinstance(event, PrecopyEvent)
        if not number:
            return


async def test_endless_job_of_another_context_is_told(
    ctx: Context, host: Path, hvm: Guest
):
    with open(os.devnull, "wb", buffering=0) as null:  # noqa: PTH123
        job = await ctx.domain_suspend(hvm.domid, null.fileno(), LIVE, policy=ENDLESS)
        await passes(job, 6)
        async with Context("simxen", host) as other:
            (status,) = await other.list_jobs()
            assert status.phase == "precopy"
            answer = await other.stop_and_copy_job(job.name)
            assert answer is StopAnswer.STOPPING
            result = await job
            assert result.iterations >= 6
            late = await other.stop_and_copy_job(job.name)  # it is handed over
            assert late is StopAnswer.TOO_LATE
        await ctx.domain_resume(hvm.domid)
    await aside(hvm.assert_untouched)


async def test_guest_that_is_suspended_already_is_too_late(
    ctx: Context, host: Path, pv: Guest
):
    with open(os.devnull, "wb", buffering=0) as null:  # noqa: PTH123
        job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
        async for event in job.events():
            if getattr(event, "name", "") == "suspended":
                break
        async with Context("simxen", host) as other:
            assert await other.stop_and_copy_job(job.name) is StopAnswer.TOO_LATE
        await job
        await ctx.domain_resume(pv.domid)


async def test_job_that_is_not_live_is_refused(ctx: Context, host: Path, pv: Guest):
    read_fd, write_fd = os.pipe()
    job = await ctx.domain_suspend(pv.domid, write_fd)  # and nobody reads
    async with Context("simxen", host) as other:
        await reach(job, "suspended")
        with pytest.raises(UsageError, match="to stop and copy: it is not live"):
            await other.stop_and_copy_job(job.name)
    await job.cancel()
    os.close(read_fd)
    os.close(write_fd)


async def test_unknown_job_is_refused(ctx: Context):
    with pytest.raises(UsageError, match="no such job: save-1-abc"):
        await ctx.stop_and_copy_job("save-1-abc")


async def test_what_is_no_save_is_refused(ctx: Context, host: Path, pv: Guest):
    config = await ctx.retrieve_config(pv.domid)
    read_fd, write_fd = os.pipe()
    restore: Job[RestoreResult] = await ctx.domain_restore(
        read_fd, config=config, name="again"
    )
    with pytest.raises(UsageError, match="to stop and copy: it is a restore"):
        await ctx.stop_and_copy_job(restore.name)
    await restore.cancel()
    os.close(read_fd)
    os.close(write_fd)


async def test_signal_to_a_helper_that_is_not_asked_is_nothing(ctx: Context, pv: Guest):
    """A helper that has not begun with memory yet; one that stays as a guard."""
    with open(os.devnull, "wb", buffering=0) as null:  # noqa: PTH123
        job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
        async for event in job.events():
            if getattr(event, "name", "") == "start":
                break
        assert job.helper_pid is not None
        os.kill(job.helper_pid, signal.SIGUSR2)
        result = await job
        assert result.pages >= 2048
        assert job.helper_pid is not None
        if job.guard is not None:
            os.kill(job.helper_pid, signal.SIGUSR2)
            await asyncio.sleep(0.1)
        await ctx.domain_resume(pv.domid)
    await aside(pv.assert_untouched)
