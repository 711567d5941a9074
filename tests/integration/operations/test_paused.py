"""A paused guest is saved like others, and is paused whatever comes of it."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from libxlpy import (
    Cancelled,
    Context,
    GuestState,
    GuestTimedOut,
    Job,
    SaveResult,
    SuspendFlags,
)
from libxlpy_protocol.enums import Op
from libxlpy_protocol.messages import DomainOp, Message
from tests.support.guest import Guest, aside, reach, until_asked

FLAGS = [SuspendFlags(0), SuspendFlags.LIVE]


@pytest.fixture
def silent(host: Path) -> Iterator[Guest]:
    """Give an HVM guest without PV drivers."""
    with Guest(host, "hvm", pv_drivers=False) as guest:
        yield guest


@pytest.fixture
def with_event(host: Path) -> Iterator[Guest]:
    """Give a guest that is asked by an event channel."""
    with Guest(host, "pvh", suspend_channel=True) as guest:
        yield guest


@asynccontextmanager
async def saving(
    ctx: Context, guest: Guest, flags: SuspendFlags = SuspendFlags.LIVE
) -> AsyncIterator[Job[SaveResult]]:
    with Path("/dev/null").open("wb") as null:
        yield await ctx.domain_suspend(guest.domid, null.fileno(), flags)


def assert_paused(guest: Guest) -> None:
    """It is paused, writes nothing, and runs on as soon as it is unpaused."""
    facts = guest.facts()
    assert facts["paused"]
    assert not facts["shutdown"]
    assert not facts["running"]
    assert facts["logdirty"] is False
    assert guest.control() == b""
    assert guest.verify()["match"]
    assert guest.facts()["counter"] == facts["counter"]


async def runs_once_unpaused(ctx: Context, guest: Guest) -> None:
    await aside(assert_paused, guest)
    await ctx.domain_unpause(guest.domid)
    await aside(guest.assert_untouched)


@pytest.mark.parametrize("flags", FLAGS)
async def test_paused_guest_is_saved_and_comes_back(
    ctx: Context, guest: Guest, flags: SuspendFlags, tmp_path: Path
):
    config = await ctx.retrieve_config(guest.domid)
    await ctx.domain_pause(guest.domid)
    with (tmp_path / "image").open("w+b") as file:
        result = await (await ctx.domain_suspend(guest.domid, file.fileno(), flags))
        assert result.guest is GuestState.SUSPENDED
        saved = await aside(guest.verify)
        assert saved["match"]
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        job = await ctx.domain_restore(
            file.fileno(), config=config, name=f"{guest.name}-re", paused=True
        )
        restored = await job
    assert restored.guest is GuestState.PAUSED
    await ctx.domain_destroy(restored.domid)
    await ctx.domain_resume(guest.domid)
    await runs_once_unpaused(ctx, guest)


async def test_paused_twice_stays_paused_twice(ctx: Context, pv: Guest):
    for _ in range(2):
        await ctx.domain_pause(pv.domid)
    async with saving(ctx, pv) as job:
        await job
    await ctx.domain_resume(pv.domid)
    await ctx.domain_unpause(pv.domid)
    await runs_once_unpaused(ctx, pv)


async def test_guest_that_is_asked_by_event_runs_for_that(
    ctx: Context, with_event: Guest
):
    await ctx.domain_pause(with_event.domid)
    async with saving(ctx, with_event) as job:
        assert (await job).guest is GuestState.SUSPENDED
    await ctx.domain_resume(with_event.domid)
    await runs_once_unpaused(ctx, with_event)


async def test_guest_without_pv_drivers_does_not_run_for_it(
    ctx: Context, silent: Guest
):
    asked: list[Op] = []

    def observe(direction: str, message: Message) -> None:
        if isinstance(message, DomainOp):
            asked.append(message.op)

    await ctx.domain_pause(silent.domid)
    before = (await aside(silent.facts))["counter"]
    ctx._observer = observe
    async with saving(ctx, silent) as job:
        await job
    assert Op.SHUTDOWN in asked
    assert Op.UNPAUSE not in asked
    await ctx.domain_resume(silent.domid)
    assert (await aside(silent.facts))["counter"] == before
    await runs_once_unpaused(ctx, silent)


@pytest.mark.parametrize("fault", ["never_ack", "never_suspend"])
async def test_guest_that_does_not_answer_is_left_paused(
    ctx: Context, pv: Guest, fault: str
):
    await aside(pv.misbehave, fault)
    await ctx.domain_pause(pv.domid)
    async with saving(ctx, pv) as job:
        with pytest.raises(GuestTimedOut, match="it was paused, and let run for") as it:
            await job
    assert it.value.guest is GuestState.PAUSED
    assert "guest paused again" in it.value.details.repairs
    await runs_once_unpaused(ctx, pv)


async def test_pause_in_the_middle_of_a_live_save_is_no_hindrance(
    ctx: Context, pv: Guest
):
    async with saving(ctx, pv) as job:
        await reach(job, "libxc")
        await ctx.domain_pause(pv.domid)
        await job
    await ctx.domain_resume(pv.domid)
    await runs_once_unpaused(ctx, pv)


async def test_cancelled_while_it_suspends_it_is_paused_before_it_is_resumed(
    ctx: Context, guest: Guest
):
    await aside(lambda: guest.misbehave("slow_suspend", seconds=1))
    asked: list[Op] = []

    def observe(direction: str, message: Message) -> None:
        if isinstance(message, DomainOp):
            asked.append(message.op)

    ctx._observer = observe
    await ctx.domain_pause(guest.domid)
    asked.clear()
    async with saving(ctx, guest) as job:
        await aside(until_taken, guest)
        job.request_cancel("tested")
        with pytest.raises(Cancelled):
            await job
    assert asked.index(Op.PAUSE) < asked.index(Op.RESUME)
    await runs_once_unpaused(ctx, guest)


def until_taken(guest: Guest) -> None:
    """Wait until a guest that was paused has been asked, and has said that it will."""
    until_asked(guest)
    while guest.control() == b"suspend":
        pass
