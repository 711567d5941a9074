"""A sender in our own handshake: what each way in which its receiver fails leaves."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from libxlpy import (
    BackendError,
    Cancelled,
    Context,
    DomainBusy,
    GuestState,
    JobError,
    MigrateResult,
    MigrationOpen,
    MigrationRefused,
    Outcome,
    PeerFailed,
    Refusal,
    TimedOut,
    UsageError,
)
from libxlpy.migration.control import Control
from libxlpy.migration.giving import Giving
from libxlpy.recovery.claim import claim
from libxlpy_protocol.messages import Message
from libxlpy_protocol.migration.own import (
    READY,
    VERSION,
    Accept,
    GiveUp,
    Go,
    GoPaused,
    Permission,
    Received,
    Refuse,
    Report,
)
from tests.support.guest import Guest, aside, reach
from tests.support.own_peer import DEADLINES, OwnPeer
from tests.support.peers import Peer

Script = Callable[[OwnPeer], Awaitable[None]]


Connect = Callable[[str], Awaitable[int]]


async def migrate(
    ctx: Context, guest: Guest, script: Script, other: Connect | None = None
) -> MigrateResult:
    """Migrate to a peer that follows a script, its stream perhaps led elsewhere."""
    async with OwnPeer.both() as (peer, control, stream):
        landings = []

        async def connect(landing: str) -> int:
            landings.append(landing)
            return stream.fileno()

        playing = asyncio.create_task(script(peer))
        try:
            fd = control.fileno()
            job = await ctx.domain_migrate(
                guest.domid, fd, fd, connect=other or connect, deadlines=DEADLINES
            )
            result = await job
            await playing
            assert landings == ["landing"]
        finally:
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await playing
        return result


async def take_to_go(peer: OwnPeer) -> None:
    await peer.accept()
    await peer.take_stream()
    await peer.tell(Received())
    await peer.told(Go)


async def good(peer: OwnPeer) -> None:
    await take_to_go(peer)
    await peer.tell(Report(runs=True, text=""))


async def test_guest_that_runs_there_is_gone_here(ctx: Context, guest: Guest):
    result = await migrate(ctx, guest, good)
    assert result.guest is GuestState.GONE
    device_model = {"device_model", "device_state"} if guest.kind == "hvm" else set()
    parts = {"guest", "pages", "end", "target", "hand_over", "start"}
    assert result.downtime_parts.keys() == parts | device_model
    assert all(milliseconds > 0 for milliseconds in result.downtime_parts.values())
    assert guest.domid not in [info.domid for info in await ctx.list_domains()]
    assert await ctx.list_jobs() == []


async def nobody(peer: OwnPeer) -> None:
    await peer.ends()


async def test_guest_that_can_t_be_saved_is_not_offered(ctx: Context, pv: Guest):
    await aside(pv.write_node, "control/shutdown", b"poweroff")
    while not (await aside(pv.facts))["shutdown"]:
        pass
    with pytest.raises(UsageError, match="there is nothing to save"):
        await migrate(ctx, pv, nobody)


async def paused_there(peer: OwnPeer) -> None:
    await peer.accept()
    await to_stay_paused(peer)


async def to_stay_paused(peer: OwnPeer) -> None:
    await peer.take_stream()
    await peer.tell(Received())
    await peer.told(GoPaused)
    await peer.tell(Report(runs=True, text=""))


async def test_paused_guest_is_to_stay_so(ctx: Context, guest: Guest):
    await ctx.domain_pause(guest.domid)
    assert (await migrate(ctx, guest, paused_there)).guest is GuestState.GONE


async def test_guest_that_is_paused_meanwhile_is_to_stay_so(ctx: Context, pv: Guest):
    async def pauses(peer: OwnPeer) -> None:
        await peer.accept()
        await ctx.domain_pause(pv.domid)
        await to_stay_paused(peer)

    assert (await migrate(ctx, pv, pauses)).guest is GuestState.GONE


async def test_paused_guest_that_stays_here_is_paused(ctx: Context, guest: Guest):
    await ctx.domain_pause(guest.domid)
    with pytest.raises(PeerFailed, match="Built of sand") as caught:
        await migrate(ctx, guest, received_not)
    assert caught.value.guest is GuestState.PAUSED
    assert not (await aside(guest.facts))["shutdown"]
    await ctx.domain_unpause(guest.domid)
    await aside(guest.assert_untouched)


async def received_not(peer: OwnPeer) -> None:
    await peer.accept()
    await peer.take_stream()
    await peer.tell(GiveUp("Built of sand"))


async def test_guest_that_somebody_works_on_is_not_offered(ctx: Context, pv: Guest):
    async with claim(ctx._env(), pv.domid, "a test"):
        with pytest.raises(DomainBusy, match="a test"):
            await migrate(ctx, pv, nobody)
    await aside(pv.assert_untouched)


async def test_copy_that_may_wait_there_is_told(
    ctx: Context, pv: Guest, monkeypatch: pytest.MonkeyPatch
):
    """GO can't leave any more: the guest is ours, and the target does not know."""

    async def gone(_control: Control, _message: Message) -> None:
        raise PeerFailed("could not be told Go", "the connection has ended")

    async def renamed(*arguments: Any, **named: Any) -> None:
        monkeypatch.setattr(Control, "say", gone)

    monkeypatch.setattr(Giving, "_rename", renamed)
    with pytest.raises(PeerFailed) as caught:
        await migrate(ctx, pv, received_then_waits)
    words = "`xlpy migrate --resolve pv-"
    assert any(words in remark for remark in caught.value.details.remarks)
    await aside(pv.assert_untouched)


async def received_then_waits(peer: OwnPeer) -> None:
    await peer.accept()
    await peer.take_stream()
    await peer.tell(Received())
    await asyncio.Event().wait()


async def test_offer_says_what_is_to_come(ctx: Context, guest: Guest):
    offers = []

    async def script(peer: OwnPeer) -> None:
        offers.append(await peer.accept())
        await peer.tell(GiveUp("seen enough"))
        await asyncio.Event().wait()

    (info,) = [x for x in await ctx.list_domains() if x.domid == guest.domid]
    config = await ctx.retrieve_config(guest.domid)
    with pytest.raises(PeerFailed, match="seen enough") as caught:
        await migrate(ctx, guest, script)
    (offer,) = offers
    assert (offer.kind, offer.memory_kib) == (guest.kind, info.memory_kib)
    assert offer.uuid.hex() == info.uuid.replace("-", "")
    assert offer.config == config
    assert f"migration {uuid.UUID(bytes=offer.job)}" in caught.value.report()
    await aside(guest.assert_untouched)


async def taken(peer: OwnPeer) -> None:
    await peer.say(READY)
    await peer.tell(Refuse(Refusal.NAME, "name web is taken by domain 3"))


async def test_refusal_is_typed_and_leaves_the_guest_untouched(
    ctx: Context, guest: Guest
):
    with pytest.raises(MigrationRefused, match="web is taken by domain 3") as caught:
        await migrate(ctx, guest, taken)
    assert caught.value.refusal is Refusal.NAME
    await aside(guest.assert_untouched)
    assert await ctx.list_jobs() == []


async def nowhere(_: str) -> int:
    raise BackendError("no way to the other end")


async def for_ever(_: str) -> int:
    await asyncio.Event().wait()
    return -1


@pytest.mark.parametrize(
    ("connect", "error", "words"),
    [(nowhere, BackendError, "no way"), (for_ever, TimedOut, "peer_ready")],
)
async def test_stream_that_leads_nowhere_is_told(
    ctx: Context, guest: Guest, connect: Connect, error: type[Exception], words: str
):
    told = []

    async def script(peer: OwnPeer) -> None:
        await peer.accept()
        told.append(await peer.told(GiveUp))

    with pytest.raises(error, match=words):
        await migrate(ctx, guest, script, connect)
    assert words in told[0].text
    await aside(guest.assert_untouched)


async def test_stream_is_not_waited_for_where_the_receiver_gives_up(
    ctx: Context, guest: Guest
):
    async def script(peer: OwnPeer) -> None:
        await peer.accept()
        await peer.tell(GiveUp("no memory"))
        await asyncio.Event().wait()

    with pytest.raises(PeerFailed, match="no memory"):
        await migrate(ctx, guest, script, for_ever)
    await aside(guest.assert_untouched)


async def chooses(peer: OwnPeer, version: int) -> None:
    await peer.say(READY)
    await peer.tell(Accept(version, "test", ""))


async def newer(peer: OwnPeer) -> None:
    await chooses(peer, VERSION + 1)


async def oldest(peer: OwnPeer) -> None:
    await chooses(peer, 0)


async def huge(peer: OwnPeer) -> None:
    await peer.say(READY)
    await peer.say(b"\xff\xff\xff\xff" + bytes(100))


async def nonsense(peer: OwnPeer) -> None:
    await peer.say(READY)
    await peer.say(b"\0\0\0\2hi")


async def chatters(peer: OwnPeer) -> None:
    await peer.accept()
    for _ in range(5):
        await peer.tell(Permission())
    await asyncio.Event().wait()


async def early(peer: OwnPeer) -> None:
    await peer.accept()
    await peer.take_stream()
    await peer.tell(Report(runs=True, text=""))


async def no_memory(peer: OwnPeer) -> None:
    await peer.accept()
    await peer.tell(GiveUp("out of memory"))
    await asyncio.Event().wait()


async def cut(peer: OwnPeer) -> None:
    await peer.accept()
    peer.hang_up()


async def silent(peer: OwnPeer) -> None:
    await peer.accept()
    peer.be_silent()
    await asyncio.Event().wait()


async def never_built(peer: OwnPeer) -> None:
    await peer.accept()
    await peer.take_stream()
    await asyncio.Event().wait()


async def built_then_silent(peer: OwnPeer) -> None:
    await peer.accept()
    await peer.take_stream()
    peer.be_silent()
    await asyncio.Event().wait()


async def does_not_run(peer: OwnPeer) -> None:
    await take_to_go(peer)
    await peer.tell(Report(runs=False, text="no vcpu would start"))
    peer.hang_up()


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (newer, PeerFailed, "chose protocol version"),
        (oldest, PeerFailed, "chose protocol version 0"),
        (huge, PeerFailed, "a message of 4294967295 bytes"),
        (nonsense, PeerFailed, "can't be understood"),
        (chatters, PeerFailed, "more than is due"),
        (early, PeerFailed, "it said Report"),
        (no_memory, PeerFailed, "has given up: out of memory"),
        (cut, PeerFailed, "connection"),
        (silent, TimedOut, "peer_silent"),
        (never_built, TimedOut, "peer_built"),
        (built_then_silent, TimedOut, "peer_silent"),
        (does_not_run, PeerFailed, "no vcpu would start"),
    ],
)
async def test_guest_that_does_not_run_there_runs_here(
    ctx: Context, guest: Guest, script: Script, error: type[JobError], words: str
):
    with pytest.raises(error, match=words):
        await migrate(ctx, guest, script)
    await aside(guest.assert_untouched)
    (name,) = [x.name for x in await ctx.list_domains() if x.domid == guest.domid]
    assert name == guest.name
    assert await ctx.list_jobs() == []


@pytest.mark.parametrize(("script", "told"), [(cut, True), (no_memory, False)])
async def test_half_of_a_copy_that_may_be_left_there_is_told(
    ctx: Context, pv: Guest, script: Script, *, told: bool
):
    with pytest.raises(PeerFailed) as caught:
        await migrate(ctx, pv, script)
    found = [line for line in caught.value.details.remarks if "xlpy recover" in line]
    assert bool(found) is told


async def go_then_end(peer: OwnPeer) -> None:
    await take_to_go(peer)
    peer.hang_up()


async def go_then_silent(peer: OwnPeer) -> None:
    await take_to_go(peer)
    peer.be_silent()
    await asyncio.Event().wait()


async def go_then_gives_up(peer: OwnPeer) -> None:
    await take_to_go(peer)
    await peer.tell(GiveUp("who knows"))
    await asyncio.Event().wait()


@pytest.mark.parametrize("script", [go_then_end, go_then_silent, go_then_gives_up])
async def test_guest_that_may_run_there_stays_suspended(
    ctx: Context, guest: Guest, script: Script
):
    with pytest.raises(MigrationOpen) as caught:
        await migrate(ctx, guest, script)
    assert caught.value.guest is GuestState.SUSPENDED
    (found,) = await ctx.recover()
    assert found.outcome is Outcome.OPEN


async def test_receiver_is_told_of_a_cancel(ctx: Context, pv: Guest):
    heard: list[GiveUp] = []

    async def script(peer: OwnPeer) -> None:
        await peer.accept()
        await peer.take_stream()
        heard.append(await peer.told(GiveUp))

    async with OwnPeer.both() as (peer, control, stream):
        playing = asyncio.create_task(script(peer))

        async def connect(landing: str) -> int:
            return stream.fileno()

        fd = control.fileno()
        job = await ctx.domain_migrate(pv.domid, fd, fd, connect=connect)
        await reach(job, "received")
        await job.cancel()
        with pytest.raises(Cancelled):
            await job
        await playing
    assert "cancel" in heard[0].text
    await aside(pv.assert_untouched)


async def test_with_an_xl_there_it_is_xl_s_handshake(ctx: Context, guest: Guest):
    async def connect(landing: str) -> int:
        raise AssertionError("the stream goes the same way")

    async with Peer.connected() as (peer, control):
        playing = asyncio.create_task(peer.take_to_go())
        fd = control.fileno()
        job = await ctx.domain_migrate(guest.domid, fd, fd, connect=connect)
        await playing
        await peer.report(0)
        assert (await job).guest is GuestState.GONE
