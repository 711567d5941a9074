"""A look at what a guest writes: its log is off again, whoever dies."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from libxlpy import BackendError, Context, DomainBusy, Outcome
from libxlpy.domain import requests
from libxlpy.jobs.writes import GuestWrites, look_at_writes
from libxlpy.journal import Folder
from libxlpy.recovery.claim import claim
from tests.support.guest import PATIENCE, Guest, aside


async def look(ctx: Context, guest: Guest) -> GuestWrites:
    facts = await aside(guest.facts)
    return await look_at_writes(ctx._env(), guest.domid, facts["uuid"])


async def test_pages_are_counted_once_each(ctx: Context, guest: Guest):
    found = await look(ctx, guest)
    assert 0 < found.half <= found.pages <= 8 * 256
    assert 0.5 <= found.half_seconds < found.seconds
    await aside(guest.assert_untouched)
    assert await ctx.list_jobs() == []


async def test_guest_that_somebody_works_on_is_left_alone(ctx: Context, pv: Guest):
    async with claim(ctx._env(), pv.domid, "a test"):
        with pytest.raises(DomainBusy, match="a test"):
            await look(ctx, pv)
    await aside(pv.assert_untouched)


async def kill_helper(host: Path, guest: Guest) -> None:
    """Wait until the log is on, and kill who has switched it on."""
    async with asyncio.timeout(PATIENCE):
        while not (await aside(guest.facts))["logdirty"]:
            pass
    entry = await aside(lambda: Folder(host / "jobs").read(guest.domid))
    assert entry is not None
    os.kill(entry.helpers[0].pid, signal.SIGKILL)


async def test_helper_that_dies_has_its_log_switched_off(
    ctx: Context, host: Path, pv: Guest
):
    looking = asyncio.create_task(look(ctx, pv))
    await kill_helper(host, pv)
    with pytest.raises(BackendError):
        await looking
    await aside(pv.assert_untouched)
    assert await ctx.list_jobs() == []


async def test_log_that_could_not_be_switched_off_is_for_recover(
    ctx: Context, host: Path, pv: Guest, monkeypatch: pytest.MonkeyPatch
):
    async def fails(*_: Any, **__: Any) -> None:
        raise BackendError("not now")

    looking = asyncio.create_task(look(ctx, pv))
    await kill_helper(host, pv)
    with monkeypatch.context() as patch:
        patch.setattr(requests, "do", fails)
        with pytest.raises(BackendError):
            await looking
    assert (await aside(pv.facts))["logdirty"]
    (found,) = await ctx.recover()
    assert found.outcome is Outcome.ROLLED_BACK
    await aside(pv.assert_untouched)
    assert await ctx.list_jobs() == []
