"""A target is asked whether it would take a domain: nothing is done, here or there."""

import asyncio

import pytest

from libxlpy import (
    Context,
    DomainBusy,
    MigrationForecast,
    MigrationRefused,
    PeerFailed,
    Refusal,
    UsageError,
)
from libxlpy.recovery.claim import claim
from libxlpy_protocol.migration import xl
from libxlpy_protocol.migration.own import READY, VERSION, Accept, Offer, Refuse
from tests.support.guest import Guest, aside
from tests.support.own_peer import OwnPeer
from tests.support.own_sender import Script

RATE = 100 << 20


async def forecast(
    ctx: Context, guest: Guest, script: Script, rate: float = RATE
) -> MigrationForecast:
    async with OwnPeer.both() as (peer, control, _):
        playing = asyncio.create_task(script(peer))
        try:
            ends = control.fileno(), control.fileno()
            return await ctx.migration_forecast(guest.domid, ends, rate, None)
        finally:
            control.close()
            await playing


async def test_target_that_takes_it(ctx: Context, guest: Guest):
    offers: list[Offer] = []

    async def script(peer: OwnPeer) -> None:
        await peer.say(READY)
        offers.append(await peer.told(Offer))
        await peer.tell(Accept(VERSION, "test", ""))

    found = await forecast(ctx, guest, script)
    assert offers[0].dry_run
    assert found.is_accepted
    assert found.pages == 8 * 256
    assert 0 < found.writes <= found.pages * 2
    assert found.sent >= found.pages
    assert found.converges
    await aside(guest.assert_untouched)
    assert await ctx.list_jobs() == []


async def test_target_that_refuses_it(ctx: Context, pv: Guest):
    async def script(peer: OwnPeer) -> None:
        await peer.say(READY)
        await peer.told(Offer)
        await peer.tell(Refuse(Refusal.MEMORY, "it needs 8 MiB"))

    with pytest.raises(MigrationRefused, match="it needs 8 MiB") as caught:
        await forecast(ctx, pv, script)
    assert caught.value.refusal is Refusal.MEMORY
    await aside(pv.assert_untouched)


async def test_xl_is_told_nothing(ctx: Context, pv: Guest):
    async def script(peer: OwnPeer) -> None:
        peer.be_silent()
        await peer.say(xl.READY)
        assert await peer.reader.read() == b""

    assert not (await forecast(ctx, pv, script)).is_accepted
    await aside(pv.assert_untouched)


async def test_target_that_is_none(ctx: Context, pv: Guest):
    async def script(peer: OwnPeer) -> None:
        peer.be_silent()
        await peer.say(b"Welcome\n")
        peer.writer.write_eof()

    with pytest.raises(PeerFailed, match="Welcome"):
        await forecast(ctx, pv, script)
    await aside(pv.assert_untouched)


async def test_target_is_not_asked_for_a_domain_that_is_in_use(ctx: Context, pv: Guest):
    async def script(peer: OwnPeer) -> None:
        peer.be_silent()
        assert await peer.reader.read() == b""

    async with claim(ctx._env(), pv.domid, "a save"):
        with pytest.raises(DomainBusy, match="a save"):
            await forecast(ctx, pv, script)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
async def test_rate_that_is_none(ctx: Context, pv: Guest, rate: float):
    async def script(peer: OwnPeer) -> None:
        peer.be_silent()

    with pytest.raises(UsageError, match="positive number"):
        await forecast(ctx, pv, script, rate)


async def test_paused_guest_writes_nothing(ctx: Context, pv: Guest):
    async def script(peer: OwnPeer) -> None:
        peer.be_silent()
        await peer.say(xl.READY)

    await ctx.domain_pause(pv.domid)
    assert (await forecast(ctx, pv, script)).writes == 0
    assert (await aside(pv.facts))["paused"]
    await ctx.domain_unpause(pv.domid)
