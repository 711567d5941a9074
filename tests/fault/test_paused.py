"""kill -9 at each message while a paused guest is let run to suspend."""

import asyncio
import time
from pathlib import Path

import pytest

from libxlpy import Context, GuestState
from libxlpy.errors import JobError
from libxlpy.simxen.client import request
from tests.fault.deaths import BOTH, die, helpers_gone, left, recover
from tests.fault.saboteur import ANSWER, Act, attack, cancel, kill, trace_of
from tests.fault.sweep import DEADLINES, OLD, long
from tests.support.victim import LOOK_EVERY, SOON, Victim


@pytest.fixture
def paused(victim: Victim) -> Victim:
    """Give a victim that is paused."""

    async def pause() -> None:
        async with Context("simxen", victim.directory, DEADLINES) as ctx:
            await ctx.domain_pause(victim.domid)

    asyncio.run(pause())
    return victim


def places(victim: Victim, path: Path) -> list[int]:
    """Give what the parent says from the request to suspend on, by its numbers."""
    trace = asyncio.run(trace_of(victim, path))
    assert victim.info()["paused"]
    first = trace.index("<Suspend")
    last = trace.index(ANSWER, first)
    return [at for at in range(first, last + 1) if trace[at].startswith(">")]


def assert_paused(victim: Victim, context: str) -> None:
    """It is as it was: paused, and writes nothing."""
    until = time.monotonic() + SOON
    while trouble(victim) and time.monotonic() < until:
        time.sleep(LOOK_EVERY)
    assert not trouble(victim), f"{context}: {trouble(victim)}"
    before = victim.info()["counter"]
    assert request(victim.directory, "verify", domid=victim.domid)["match"], context
    assert victim.info()["counter"] == before, context


def trouble(victim: Victim) -> str:
    """Give what is not as it must be of a paused victim."""
    found = victim.trouble().split(", ")
    return ", ".join(sorted({*found} - {"running=False", "paused=True"}))


@long
@pytest.mark.parametrize("act", [kill(), cancel], ids=["helper killed", "cancelled"])
def test_job_that_fails_while_it_suspends_leaves_it_paused(
    paused: Victim, tmp_path: Path, act: Act
) -> None:
    path = tmp_path / "image"
    path.write_bytes(OLD)
    left_at = (GuestState.PAUSED,)
    failed = 0
    for at in places(paused, path):
        path.write_bytes(OLD)
        attacked = attack("fault", act, [], left=left_at)
        strike = asyncio.run(attacked(paused, path, at))
        assert_paused(paused, strike.context)
        if isinstance(strike.outcome, JobError):
            assert strike.outcome.guest in left_at, strike.outcome.report()
            failed += 1
    assert failed


@long
@pytest.mark.parametrize("helper", [0, BOTH], ids=["toolstack", "both"])
def test_death_while_it_suspends_leaves_it_paused(
    paused: Victim, tmp_path: Path, helper: int
) -> None:
    path = tmp_path / "image"
    path.write_bytes(OLD)
    lifted = 0
    for at in places(paused, path):
        path.write_bytes(OLD)
        context = die(paused, path, at, helper=helper)
        helpers_gone()
        lifted += not paused.info()["paused"]
        if not helper:
            assert_paused(paused, f"{context}, by its helper")
        recover(paused)
        assert_paused(paused, context)
        assert left(paused, tmp_path) == [], context
    assert bool(lifted) is bool(helper)
