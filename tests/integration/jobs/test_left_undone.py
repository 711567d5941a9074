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
    assert error.recovery is None
    assert "left to do" not in error.report()


async def test_device_model_that_answers_again_is_put_right(ctx: Context, hvm: Guest):
    await aside(lambda: hvm.misbehave("qmp_error"))  # whatever it is asked
    error = await failed(ctx, hvm)
    assert isinstance(error, CallbackFailed)
    recovery = error.recovery
    assert recovery is not None
    assert recovery.actions == (OFF,)
    assert f"left to do: {OFF}" in error.report()
    assert await recovery.perform() is GuestState.RUNNING  # it refuses still
    assert recovery.actions == (OFF,)
    await aside(lambda: hvm.misbehave("never_ack"))  # its device model behaves
    ended = await asyncio.gather(recovery.perform(), recovery.perform())
    assert ended == [GuestState.RUNNING] * 2
    assert recovery.actions == ()
    assert OFF in error.repairs
    assert not [fact for fact in error.repairs if "FAILED" in fact]
    assert "left to do" not in error.report()
    await aside(hvm.assert_untouched)


async def test_domain_that_another_works_on_is_not_touched(ctx: Context, hvm: Guest):
    await aside(lambda: hvm.misbehave("qmp_error"))
    recovery = (await failed(ctx, hvm)).recovery
    assert recovery is not None
    with take(Folder(ctx.backend.jobs_dir), hvm.domid), pytest.raises(DomainBusy):
        await recovery.perform()
    assert recovery.actions == (OFF,)
    await aside(lambda: hvm.misbehave("never_ack"))
    await recovery.perform()
    await aside(hvm.assert_untouched)


async def test_recovery_is_for_the_context_s_life(host: Path, hvm: Guest):
    await aside(lambda: hvm.misbehave("qmp_error"))
    async with Context("simxen", host, QUICK) as ctx:
        recovery = (await failed(ctx, hvm)).recovery
    assert recovery is not None
    with pytest.raises(UsageError, match="context was left"):
        await recovery.perform()


async def test_guest_that_is_gone_needs_nothing(own_host: Path):
    guest = Guest(own_host, "hvm")
    async with Context("simxen", own_host, QUICK) as ctx:
        await aside(lambda: guest.misbehave("qmp_error"))
        error = await failed(ctx, guest)
        assert not isinstance(error, HelperCrashed)
        assert error.recovery is not None
        await aside(guest.destroy)
        assert await error.recovery.perform() is GuestState.GONE
        assert error.recovery.actions == ()
