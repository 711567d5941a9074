"""What the repair could not do is told, and done later on request."""

import asyncio
import os
from pathlib import Path

import pytest

from libxlpy import (
    CallbackFailed,
    Context,
    DomainBusy,
    GuestState,
    HelperCrashed,
    JobError,
    Outcome,
    StreamError,
    SuspendFlags,
    UsageError,
)
from libxlpy.journal import Folder
from libxlpy.recovery.claim import take
from tests.support.guest import Guest, aside
from tests.support.real_host import QUICK

LIVE = SuspendFlags.LIVE
OFF = "device model's log-dirty mode off"


async def failed(ctx: Context, guest: Guest, path: str = os.devnull) -> JobError:
    with Path(path).open("wb") as file:
        job = await ctx.domain_suspend(guest.domid, file.fileno(), LIVE)
        with pytest.raises(JobError) as caught:
            await job
    return caught.value


async def test_all_repaired_leaves_nothing_to_do(ctx: Context, hvm: Guest):
    error = await failed(ctx, hvm, "/dev/full")
    assert isinstance(error, StreamError)
    assert error.unfinished is None
    assert "left to do" not in error.report()


async def test_device_model_that_answers_again_is_put_right(ctx: Context, hvm: Guest):
    await aside(lambda: hvm.misbehave("qmp_error"))  # whatever it is asked
    error = await failed(ctx, hvm)
    assert isinstance(error, CallbackFailed)
    unfinished = error.unfinished
    assert unfinished is not None
    assert unfinished.actions == (OFF,)
    assert f"left to do: {OFF}" in error.report()
    assert await unfinished.retry() is GuestState.RUNNING  # it refuses still
    assert unfinished.actions == (OFF,)
    await aside(lambda: hvm.misbehave("never_ack"))  # its device model behaves
    ended = await asyncio.gather(unfinished.retry(), unfinished.retry())
    assert ended == [GuestState.RUNNING] * 2
    assert unfinished.actions == ()
    assert OFF in error.repairs
    assert not [fact for fact in error.repairs if "FAILED" in fact]
    assert "left to do" not in error.report()
    await aside(hvm.assert_untouched)


async def test_domain_that_another_works_on_is_not_touched(ctx: Context, hvm: Guest):
    await aside(lambda: hvm.misbehave("qmp_error"))
    unfinished = (await failed(ctx, hvm)).unfinished
    assert unfinished is not None
    with take(Folder(ctx.backend.jobs_dir), hvm.domid), pytest.raises(DomainBusy):
        await unfinished.retry()
    assert unfinished.actions == (OFF,)
    await aside(lambda: hvm.misbehave("never_ack"))
    await unfinished.retry()
    await aside(hvm.assert_untouched)


async def test_recovery_is_for_the_context_s_life(host: Path, hvm: Guest):
    await aside(lambda: hvm.misbehave("qmp_error"))
    async with Context("simxen", host, QUICK) as ctx:
        unfinished = (await failed(ctx, hvm)).unfinished
    assert unfinished is not None
    with pytest.raises(UsageError, match="context was left"):
        await unfinished.retry()
    await aside(lambda: hvm.misbehave("never_ack"))  # its device model behaves
    async with Context("simxen", host, QUICK) as ctx:
        (found,) = await ctx.recover()  # it was not forgotten
        assert found.outcome is Outcome.ROLLED_BACK
        assert await ctx.recover() == []
    await aside(hvm.assert_untouched)


async def test_device_model_that_is_dead_keeps_nobody_from_the_guest(
    own_host: Path, caplog: pytest.LogCaptureFixture
):
    guest = Guest(own_host, "hvm")
    async with Context("simxen", own_host, QUICK) as ctx:
        await aside(lambda: guest.misbehave("qmp_die"))
        assert (await failed(ctx, guest)).unfinished is not None
        error = await failed(ctx, guest)
        assert error.guest is GuestState.RUNNING
        assert "can't be put right" in caplog.text
        await ctx.domain_destroy(guest.domid)
        assert await ctx.recover() == []


async def test_guest_that_is_gone_needs_nothing(own_host: Path):
    guest = Guest(own_host, "hvm")
    async with Context("simxen", own_host, QUICK) as ctx:
        await aside(lambda: guest.misbehave("qmp_error"))
        error = await failed(ctx, guest)
        assert not isinstance(error, HelperCrashed)
        assert error.unfinished is not None
        await aside(guest.destroy)
        assert await error.unfinished.retry() is GuestState.GONE
        assert error.unfinished.actions == ()
