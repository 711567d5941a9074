"""A live save goes on as its caller's precopy policy says."""

import os
from collections.abc import Iterator

import pytest

from libxlpy import (
    CallbackFailed,
    Cancelled,
    Context,
    GuestState,
    PrecopyAnswer,
    PrecopyStats,
    SuspendFlags,
)
from tests.support.guest import Guest, aside

LIVE = SuspendFlags.LIVE


@pytest.fixture
def null_fd() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_WRONLY)
    yield fd
    os.close(fd)


async def test_policy_is_asked_and_obeyed(ctx: Context, pv: Guest, null_fd: int):
    asked: list[PrecopyStats] = []

    async def twice(stats: PrecopyStats) -> PrecopyAnswer:
        asked.append(stats)
        done = stats.iteration == 2
        return PrecopyAnswer.STOP_AND_COPY if done else PrecopyAnswer.GO_ON

    job = await ctx.domain_suspend(pv.domid, null_fd, LIVE, precopy_policy=twice)
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
    async def broken(stats: PrecopyStats) -> int:
        raise LookupError(f"no plan for pass {stats.iteration}")

    job = await ctx.domain_suspend(pv.domid, null_fd, LIVE, precopy_policy=broken)
    with pytest.raises(CallbackFailed, match="no plan for pass 0") as caught:
        await job
    assert caught.value.name == "precopy_policy"
    assert caught.value.guest is GuestState.RUNNING
    await aside(pv.assert_untouched)


async def test_policy_that_aborts_ends_the_save(ctx: Context, pv: Guest, null_fd: int):
    async def never(stats: PrecopyStats) -> int:
        return PrecopyAnswer.ABORT

    job = await ctx.domain_suspend(pv.domid, null_fd, LIVE, precopy_policy=never)
    with pytest.raises(
        Cancelled, match="precopy_policy chose to abort in pass 0"
    ) as caught:
        await job
    assert caught.value.guest is GuestState.RUNNING
    await aside(pv.assert_untouched)
