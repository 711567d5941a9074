"""Saves that fail: the right outcome, and the guest as it was."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from libxlpy import (
    CallbackFailed,
    Cancelled,
    Context,
    Deadlines,
    GuestFailed,
    GuestState,
    GuestTimedOut,
    HelperCrashed,
    ImageState,
    JobError,
    SaveResult,
    StreamError,
    SuspendFlags,
    TimedOut,
)
from libxlpy.jobs.job import Job
from tests.support.failing import At, outcome, until_full
from tests.support.guest import Guest, aside

LIVE = SuspendFlags.LIVE


async def result_or_error(job: Job[SaveResult]) -> SaveResult | JobError:
    try:
        return await job
    except JobError as exc:
        return exc


# ----- the guest ----------------------------------------------------------------------


async def test_guest_that_never_answers_is_left_running(ctx: Context, guest: Guest):
    guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        error = await outcome(
            await ctx.domain_suspend(guest.domid, null.fileno(), LIVE)
        )
    assert isinstance(error, GuestTimedOut)
    assert error.guest is GuestState.RUNNING
    await aside(guest.assert_untouched)


async def test_guest_that_agrees_but_does_not_suspend_is_told_apart(
    ctx: Context, guest: Guest
):
    guest.misbehave("never_suspend")
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(guest.domid, null.fileno()))
    assert isinstance(error, GuestTimedOut)
    assert "agreed" in str(error)
    await aside(guest.assert_untouched)


async def test_slow_guest_is_waited_for(ctx: Context, pv: Guest):
    pv.misbehave("slow_ack", seconds=1)
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(
            pv.domid, null.fileno(), deadlines=Deadlines(suspend_ack=20)
        )
        assert (await job).guest is GuestState.SUSPENDED


@pytest.mark.parametrize("reason", ["crash", "reboot", "poweroff"])
async def test_guest_that_ends_instead_is_named_with_its_reason(
    ctx: Context, pv: Guest, reason: str
):
    pv.misbehave(reason)
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(pv.domid, null.fileno(), LIVE))
    assert isinstance(error, GuestFailed)
    assert error.reason == reason
    assert error.guest is GuestState.SHUTDOWN


async def test_destroyed_guest_is_gone(ctx: Context, pv: Guest):
    pv.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(
            pv.domid, null.fileno(), deadlines=Deadlines(suspend_ack=20)
        )
        async for event in job.events():
            if getattr(event, "name", "") == "suspend":
                break
        await aside(pv.destroy)
        error = await outcome(job)
    assert isinstance(error, GuestFailed)
    assert error.reason == "gone"
    assert error.guest is GuestState.GONE


@pytest.mark.parametrize("flags", [LIVE, SuspendFlags(0)])
async def test_guest_is_destroyed_while_its_stream_is_stuck(
    ctx: Context, guest: Guest, full_pipe: int, flags: SuspendFlags
):
    job = await ctx.domain_suspend(guest.domid, full_pipe, flags)
    await aside(until_full, full_pipe)
    await aside(guest.destroy)
    error = await outcome(job)
    assert isinstance(error, GuestFailed)
    assert error.reason == "gone"
    assert error.guest is GuestState.GONE


# ----- the device model ---------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["xen-set-global-dirty-log", "stop", "xen-save-devices-state"]
)
@pytest.mark.parametrize("fault", ["qmp_silent", "qmp_garbage", "qmp_error"])
async def test_failing_device_model_fails_the_save_only(
    ctx: Context, hvm: Guest, fault: str, command: str
):
    hvm.misbehave(fault, command=command, once=True)
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(hvm.domid, null.fileno(), LIVE))
    assert isinstance(error, CallbackFailed)
    assert error.guest is GuestState.RUNNING
    await aside(hvm.assert_untouched)


async def test_dead_device_model_is_told_and_the_guest_runs(ctx: Context, hvm: Guest):
    hvm.misbehave("qmp_die", command="stop")
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(hvm.domid, null.fileno(), LIVE))
    assert isinstance(error, CallbackFailed)
    assert error.guest is GuestState.RUNNING
    assert any("FAILED" in fact for fact in error.repairs)


# ----- the stream ---------------------------------------------------------------------


async def test_full_disk_is_a_stream_error(ctx: Context, guest: Guest):
    with Path("/dev/full").open("wb") as full:
        error = await outcome(
            await ctx.domain_suspend(guest.domid, full.fileno(), LIVE)
        )
    assert isinstance(error, StreamError)
    assert error.errno == 28
    await aside(guest.assert_untouched)


async def test_reader_that_leaves_is_a_stream_error(ctx: Context, guest: Guest):
    reading, writing = os.pipe()

    def take_some() -> None:
        left = 2 << 20
        while left > 0:
            left -= len(os.read(reading, 65536))
        os.close(reading)

    taker = asyncio.create_task(aside(take_some))
    error = await outcome(await ctx.domain_suspend(guest.domid, writing, LIVE))
    await taker
    os.close(writing)
    assert isinstance(error, StreamError)
    assert error.image is ImageState.PARTIAL
    await aside(guest.assert_untouched)


# ----- the helper ---------------------------------------------------------------------

MOMENTS = ["<Hello", "Start", "Phase", "SwitchQemuLogdirty", "Progress", "Suspend"]
MOMENTS += ["DomainOp", "ToolstackSave", "Answer", "Complete"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_lost_helper_loses_nothing_else(
    ctx: Context, hvm: Guest, number: signal.Signals, moment: str, tmp_path: Path
):
    job: Job[Any] | None = None

    def kill() -> None:
        assert job is not None
        assert job.helper_pid is not None
        os.kill(job.helper_pid, number)

    with (tmp_path / "image").open("wb") as file:
        ctx._observer = at = At(moment, lambda: None)
        prepared = asyncio.create_task(
            ctx.domain_suspend(hvm.domid, file.fileno(), LIVE)
        )
        job = await prepared
        at.seen.clear()  # what passed until now was between us and the ops helper
        at.act = kill
        ended = await result_or_error(job)
        if isinstance(ended, SaveResult):  # all was done before the signal arrived
            assert moment == "Complete"
            assert ended.image is ImageState.COMPLETE
            await ctx.domain_resume(hvm.domid)
        else:
            assert isinstance(ended, (HelperCrashed, TimedOut))
            assert ended.guest is GuestState.RUNNING
    await aside(hvm.assert_untouched)
    ctx._observer = None


# ----- cancelling ---------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["spawn", "hello", "libxc", "suspend", "emulator"])
async def test_cancelled_save_leaves_the_guest_running(
    ctx: Context, guest: Guest, phase: str
):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(guest.domid, null.fileno(), LIVE)
        seen = False
        async for event in job.events():
            if getattr(event, "name", "") == phase:
                seen = True
                break
        if not seen:  # a PV guest has no device model
            await job
            await ctx.domain_resume(guest.domid)
            return
        await job.cancel()
        ended = await result_or_error(job)
        if isinstance(ended, SaveResult):  # its last byte was written before
            assert ended.guest is GuestState.SUSPENDED
            await ctx.domain_resume(guest.domid)
        else:
            assert isinstance(ended, Cancelled)
            assert ended.guest is GuestState.RUNNING
    await aside(guest.assert_untouched)


async def test_left_context_cancels_its_jobs(host: Path, guest: Guest):
    guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        async with Context("simxen", host) as ctx:
            job = await ctx.domain_suspend(guest.domid, null.fileno(), LIVE)
            async for event in job.events():
                if getattr(event, "name", "") == "suspend":
                    break
        assert job.done()
        assert isinstance(await outcome(job), Cancelled)
    await aside(guest.assert_untouched)


async def test_cancelled_owner_waits_until_the_guest_runs(ctx: Context, guest: Guest):
    guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(
            guest.domid, null.fileno(), LIVE, deadlines=Deadlines()
        )

        async def own() -> None:
            await job

        owner = asyncio.create_task(own())
        async for event in job.events():
            if getattr(event, "name", "") == "suspend":
                break
        owner.cancel()
        await asyncio.sleep(0)
        owner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await owner
        assert job.done()
    await aside(guest.assert_untouched)


# ----- the host -----------------------------------------------------------------------


async def test_dead_host_is_told_as_unknown_in_bounded_time(own_host: Path):
    guest = Guest(own_host, "hvm")
    async with Context("simxen", own_host, Deadlines(suspend_ack=5)) as ctx:
        guest.misbehave("never_ack")
        with Path("/dev/null").open("wb") as null:
            job = await ctx.domain_suspend(guest.domid, null.fileno(), LIVE)
            async for event in job.events():
                if getattr(event, "name", "") == "suspend":
                    break
            await aside(guest.kill_host)
            error = await outcome(job)
    assert error.guest is GuestState.UNKNOWN
    assert any("could not be asked" in fact for fact in error.repairs)
