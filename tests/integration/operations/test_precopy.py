"""A live save goes on as its policy says: of guests that converge, or never do."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libxlpy import (
    CallbackFailed,
    Context,
    GuestState,
    PolicyAborted,
    PrecopyAnswer,
    PrecopyEvent,
    SuspendFlags,
    TimedOut,
    UsageError,
    policies,
)
from libxlpy.jobs.job import Job
from libxlpy.policies import OnTimeout, PrecopyView
from libxlpy.simxen.vcpu import FULL_SPEED
from tests.support.guest import Guest, aside
from tests.support.real_host import QUICK
from tests.support.slow_reader import read_slowly

LIVE = SuspendFlags.LIVE


@pytest.fixture
def null_fd() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_WRONLY)
    yield fd
    os.close(fd)


async def test_policy_is_asked_and_obeyed(ctx: Context, pv: Guest, null_fd: int):
    asked: list[PrecopyView] = []

    async def twice(stats: PrecopyView) -> PrecopyAnswer:
        asked.append(stats)
        done = stats.iteration == 2
        return PrecopyAnswer.STOP_AND_COPY if done else PrecopyAnswer.GO_ON

    job = await ctx.domain_suspend(pv.domid, null_fd, LIVE, policy=twice)
    result = await job
    await ctx.domain_resume(pv.domid)
    assert [each.iteration for each in asked] == sorted(
        each.iteration for each in asked
    )
    assert {each.iteration for each in asked} == {0, 1, 2}
    assert asked[0].dirty_count > 0
    assert asked[-1].total_written > asked[0].total_written
    assert result.iterations == 2


async def test_policy_that_raises_is_named_and_the_guest_runs(
    ctx: Context, pv: Guest, null_fd: int
):
    async def broken(stats: PrecopyView) -> int:
        raise LookupError(f"no plan for pass {stats.iteration}")

    job = await ctx.domain_suspend(pv.domid, null_fd, LIVE, policy=broken)
    with pytest.raises(CallbackFailed, match="no plan for pass 0") as caught:
        await job
    assert caught.value.name == "precopy_policy"
    assert caught.value.guest is GuestState.RUNNING
    await aside(pv.assert_untouched)


async def test_policy_that_aborts_ends_the_save(ctx: Context, pv: Guest, null_fd: int):
    async def never(stats: PrecopyView) -> int:
        return PrecopyAnswer.ABORT

    job = await ctx.domain_suspend(pv.domid, null_fd, LIVE, policy=never)
    with pytest.raises(
        PolicyAborted, match="precopy_policy chose to abort in pass 0"
    ) as caught:
        await job
    assert caught.value.guest is GuestState.RUNNING
    await aside(pv.assert_untouched)


# ----- guests that converge, and one that never does --------------------------------

#: Never stops.
ENDLESS = policies.Xen(max_iters=1 << 30, min_remaining=0)


@pytest.fixture
def busy(host) -> Iterator[Guest]:
    """A guest that writes as fast as it can."""
    with Guest(host, "pv", rate=FULL_SPEED) as guest:
        yield guest


@pytest.fixture
def slow_fd() -> Iterator[int]:
    """Give a pipe that is read slowly."""
    reading, writing = os.pipe()
    with read_slowly(reading, writing):
        yield writing


@pytest.fixture
def calm(host) -> Iterator[Guest]:
    """A guest that writes a bit."""
    with Guest(host, "pv", rate=400) as guest:
        yield guest


async def looked_at(job: Job[Any]) -> list[PrecopyEvent]:
    return [event async for event in job.events() if isinstance(event, PrecopyEvent)]


async def test_budget_is_kept_by_a_guest_that_converges(
    ctx: Context, calm: Guest, null_fd: int
):
    budget = policies.DowntimeBudget(50)
    job = await ctx.domain_suspend(calm.domid, null_fd, LIVE, policy=budget)
    events = asyncio.create_task(looked_at(job))
    result = await job
    await ctx.domain_resume(calm.domid)
    last = (await events)[-1]
    assert last.action == "stop_and_copy"
    assert last.expected_downtime is not None
    assert last.expected_downtime <= 50
    assert result.statistics.expected_downtime is not None
    await aside(calm.assert_untouched)


async def test_guest_that_never_fits_its_budget_is_copied_until_the_time_is_up(
    ctx: Context, busy: Guest, slow_fd: int
):
    tight = policies.DowntimeBudget(1)
    deadlines = QUICK.replace(total=2.0)
    job = await ctx.domain_suspend(
        busy.domid, slow_fd, LIVE, policy=tight, deadlines=deadlines
    )
    events = asyncio.create_task(looked_at(job))
    with pytest.raises(TimedOut) as caught:
        await job
    assert caught.value.deadline == "total"
    assert {each.action for each in await events} == {"go_on"}
    assert caught.value.details.statistics.downtime is None  # never suspended
    await aside(busy.assert_untouched)


@pytest.mark.parametrize("on_timeout", OnTimeout)
async def test_guest_that_never_fits_ends_by_what_its_deadline_says(
    ctx: Context, busy: Guest, slow_fd: int, on_timeout: OnTimeout
):
    policy = policies.Deadline(1.0, on_timeout, policies.DowntimeBudget(1))
    job = await ctx.domain_suspend(busy.domid, slow_fd, LIVE, policy=policy)
    if on_timeout is OnTimeout.CANCEL:
        with pytest.raises(PolicyAborted) as caught:
            await job
        assert caught.value.guest is GuestState.RUNNING
    else:
        result = await job
        assert result.duration >= 0.7
        await ctx.domain_resume(busy.domid)
    await aside(busy.assert_untouched)


async def test_local_minimum_ends_the_passes_of_a_guest_that_never_converges(
    ctx: Context, busy: Guest, slow_fd: int
):
    minimum = policies.LocalMinimum()
    job = await ctx.domain_suspend(busy.domid, slow_fd, LIVE, policy=minimum)
    events = asyncio.create_task(looked_at(job))
    await job
    await ctx.domain_resume(busy.domid)
    found = [each.dirty_found for each in await events]
    known = [count for count in found if count is not None]
    assert known[-1] >= min(known)
    assert known[:-1] == sorted(known[:-1], reverse=True)


async def test_stop_that_would_not_end_in_time_is_held_back(
    ctx: Context, host: Path, slow_fd: int
):
    """The pause would be as long as the first pass, 0.8 s: the guest is left alone."""
    with Guest(host, "pv", rate=FULL_SPEED, memory_mib=32) as large:
        job = await ctx.domain_suspend(
            large.domid,
            slow_fd,
            LIVE,
            policy=policies.Xen(max_iters=1),
            deadlines=QUICK.replace(total=2.0),
        )
        events = asyncio.create_task(looked_at(job))
        with pytest.raises(TimedOut) as caught:
            await job
        assert "held_back" in {each.action for each in await events}
        assert caught.value.details.statistics.downtime is None
        await aside(large.assert_untouched)


# ----- changed while it runs --------------------------------------------------------


async def test_job_is_told_to_stop_while_it_runs(
    ctx: Context, busy: Guest, slow_fd: int
):
    job = await ctx.domain_suspend(busy.domid, slow_fd, LIVE, policy=ENDLESS)
    passes = 0
    async for event in job.events():
        passes += isinstance(event, PrecopyEvent)
        if passes == 4:
            break
    assert job.phase == "precopy"
    assert job.stop_and_copy_now()
    assert job.phase == "last pass"
    result = await job
    assert result.iterations >= 4
    assert not job.stop_and_copy_now()
    assert not job.set_policy(ENDLESS)
    await ctx.domain_resume(busy.domid)
    await aside(busy.assert_untouched)


async def test_job_is_given_another_policy_while_it_runs(
    ctx: Context, busy: Guest, slow_fd: int
):
    job = await ctx.domain_suspend(busy.domid, slow_fd, LIVE, policy=ENDLESS)
    async for event in job.events():
        if isinstance(event, PrecopyEvent) and event.iteration >= 4:
            break
    assert job.set_policy(policies.Xen())
    assert (await job).iterations >= 4
    await ctx.domain_resume(busy.domid)


async def test_coroutine_that_hangs_is_ended_by_its_deadline_or_replaced(
    ctx: Context, pv: Guest, null_fd: int
):
    async def hangs(view: PrecopyView) -> int:
        return await asyncio.Future()

    deadlines = QUICK.replace(per_callback={"precopy_policy": 0.3})
    job = await ctx.domain_suspend(
        pv.domid, null_fd, LIVE, policy=hangs, deadlines=deadlines
    )
    with pytest.raises(TimedOut, match="callback precopy_policy"):
        await job
    job = await ctx.domain_suspend(pv.domid, null_fd, LIVE, policy=hangs)
    async for event in job.events():
        if getattr(event, "name", "") == "precopy":
            break
    assert job.stop_and_copy_now()
    await job
    await ctx.domain_resume(pv.domid)
    await aside(pv.assert_untouched)


async def test_what_is_asked_of_nobody_is_refused(
    ctx: Context, pv: Guest, null_fd: int
):
    with pytest.raises(UsageError, match="copies nothing while its guest runs"):
        await ctx.domain_suspend(pv.domid, null_fd, policy=ENDLESS)
    with pytest.raises(UsageError, match="300 is no policy"):
        await ctx.domain_suspend(pv.domid, null_fd, LIVE, policy=300)  # type: ignore[arg-type]
    job = await ctx.domain_suspend(pv.domid, null_fd)
    with pytest.raises(UsageError, match=r"save of domain .* copies nothing"):
        job.stop_and_copy_now()
    await job
    await ctx.domain_resume(pv.domid)
