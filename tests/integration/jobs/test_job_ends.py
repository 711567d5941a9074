"""Cancels that cross, owners that leave, calls that can't work: nothing is left."""

import asyncio
from pathlib import Path

import pytest

from libxlpy import (
    CancelAnswer,
    CancelKind,
    Cancelled,
    Context,
    Deadlines,
    GuestState,
    ImageState,
    RestoreCallbacks,
    Rings,
    SaveCallbacks,
    SuspendFlags,
    UsageError,
)
from tests.support.guest import Guest, aside, reach

LIVE = SuspendFlags.LIVE


# ----- cancel -------------------------------------------------------------------------


async def test_all_who_cancel_get_the_same_answer(ctx: Context, guest: Guest):
    guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(guest.domid, null.fileno(), LIVE)
        await reach(job, "suspend")
        assert job.cancellable
        job.request_cancel("first")
        assert not job.cancellable
        answers = await asyncio.gather(job.cancel(), job.cancel())
    assert {answer.kind for answer in answers} == {CancelKind.ACCEPTED}
    assert await job.cancel() == CancelAnswer(CancelKind.ALREADY_DONE, "done")
    await aside(guest.assert_untouched)


async def test_cancel_from_a_callback_is_refused_at_once(ctx: Context, pv: Guest):
    refused: list[str] = []
    with Path("/dev/null").open("wb") as null:

        async def suspend() -> int:
            try:
                await job.cancel()
            except UsageError as exc:
                refused.append(str(exc))
            job.request_cancel("from inside")
            return 0

        callbacks = SaveCallbacks(suspend=suspend)
        job = await ctx.xc_domain_save(pv.domid, null.fileno(), callbacks)
        with pytest.raises(Cancelled):
            await job
    assert refused == ["a callback can't wait for its job: use request_cancel()"]
    await aside(pv.assert_untouched)


# ----- a result that nobody takes -----------------------------------------------------


async def test_owner_cancelled_after_the_last_byte_leaves_the_guest_running(
    ctx: Context, guest: Guest
):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(guest.domid, null.fileno(), LIVE)

        async def own() -> None:
            await job

        owner = asyncio.create_task(own())
        await reach(job, "complete")
        owner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await owner
        with pytest.raises(Cancelled) as caught:
            await job
    assert caught.value.guest is GuestState.RUNNING
    assert caught.value.image is ImageState.COMPLETE
    await aside(guest.assert_untouched)


async def test_save_whose_result_nobody_took_is_undone_with_its_context(
    host: Path, guest: Guest
):
    with Path("/dev/null").open("wb") as null:
        async with Context("simxen", host) as ctx:
            job = await ctx.domain_suspend(guest.domid, null.fileno())
            await reach(job, "complete")
        with pytest.raises(Cancelled, match="guest running"):
            await job
    await aside(guest.assert_untouched)


async def test_result_that_was_taken_stands(host: Path, pv: Guest):
    with Path("/dev/null").open("wb") as null:
        async with Context("simxen", host) as ctx:
            await (await ctx.domain_suspend(pv.domid, null.fileno()))
        async with Context("simxen", host) as ctx:
            await ctx.domain_resume(pv.domid)  # it was left suspended
    await aside(pv.assert_untouched)


# ----- calls that can't work ----------------------------------------------------------


async def test_context_that_was_left_takes_nothing(host: Path, pv: Guest):
    ctx = Context("simxen", host)
    async with ctx:
        await ctx.list_domains()
    with pytest.raises(UsageError, match="not entered"):
        await ctx.domain_suspend(pv.domid, 1)


async def test_job_begun_while_its_context_is_left_is_refused(host: Path, pv: Guest):
    with Path("/dev/null").open("wb") as null:
        async with Context("simxen", host) as ctx:
            late = asyncio.create_task(ctx.domain_suspend(pv.domid, null.fileno()))
            await asyncio.sleep(0)  # it has begun to look at the domain
        with pytest.raises(UsageError, match="context was left"):
            await late
    await aside(pv.assert_untouched)


async def test_one_stream_serves_one_job(
    ctx: Context, pv: Guest, hvm: Guest, tmp_path: Path
):
    pv.misbehave("slow_ack", seconds=1)
    with (tmp_path / "image").open("wb") as file:
        first = await ctx.domain_suspend(pv.domid, file.fileno())
        with pytest.raises(UsageError, match="another job uses this stream"):
            await ctx.domain_suspend(hvm.domid, file.fileno())
        assert (await first).image is ImageState.COMPLETE
    await ctx.domain_resume(pv.domid)
    await aside(hvm.assert_untouched)


def test_ring_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match="store_evtchn -1: not a number of 32 bits"):
        Rings(store_evtchn=-1)


async def test_start_that_can_not_be_told_ends_the_job(ctx: Context, pv: Guest):
    """No field of ours gets so far; the job must not wait for ever if one does."""
    rings = Rings()
    object.__setattr__(rings, "store_evtchn", -1)
    with Path("/dev/null").open("rb") as null:
        job = await ctx.xc_domain_restore(
            pv.domid, null.fileno(), RestoreCallbacks(), rings=rings
        )
        with pytest.raises(Exception, match="could not be told its job"):
            await job


async def test_guest_that_suspends_late_is_waited_for(host: Path, pv: Guest):
    pv.misbehave("slow_suspend", seconds=2)
    with Path("/dev/null").open("wb") as null:
        async with Context("simxen", host, Deadlines()) as ctx:
            job = await ctx.domain_suspend(pv.domid, null.fileno())
            await reach(job, "suspend")
            await job.cancel()
    await aside(pv.assert_untouched)
