"""Each way in which `xl migrate-receive` can fail a sender: what is left here.

The rows are those of xl's own failures; where xl leaves a guest suspended that need not
be, ours runs on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from libxlpy import (
    Cancelled,
    Context,
    DomainBusy,
    GuestFailed,
    GuestState,
    JobError,
    MigrateResult,
    MigrationOpen,
    NotSupported,
    Outcome,
    PeerFailed,
    StreamError,
    TimedOut,
    UsageError,
)
from libxlpy.domain import hypercalls
from libxlpy.domain.resume import resume_guest
from libxlpy.errors import BackendError
from libxlpy_protocol.migration.xl import GO, READY, RECEIVED, REPORT
from tests.support.guest import Guest, aside, reach
from tests.support.peers import Peer
from tests.support.real_host import QUICK

#: Short where a test waits for one to pass.
DEADLINES = QUICK.replace(
    peer_ready=1.0,
    peer_built=1.0,
    peer_answer=1.0,
    no_progress=1.5,
    stop_and_copy=1.5,
)
Script = Callable[[Peer], Awaitable[None]]


async def migrate(
    ctx: Context, guest: Guest, script: Script, *, paused: bool = False
) -> MigrateResult:
    """Migrate to a peer that follows a script."""
    async with Peer.connected() as (peer, theirs):
        playing = asyncio.create_task(script(peer))
        try:
            fd = theirs.fileno()
            job = await ctx.domain_migrate(
                guest.domid, fd, fd, paused=paused, deadlines=DEADLINES
            )
            result = await job
            await playing
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        return result


class Silent:
    """A peer that does its part and then says nothing, with the connection open."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def __call__(self, peer: Peer) -> None:
        await self.script(peer)
        await asyncio.Event().wait()


# ----- scripts --------------------------------------------------------------------


async def good(peer: Peer) -> None:
    await peer.take_to_go()
    await peer.report(0)


async def nothing(peer: Peer) -> None:
    pass


async def not_there(peer: Peer) -> None:
    peer.hang_up()


async def motd(peer: Peer) -> None:
    await peer.say(b"Welcome to target!\nLast login: today\n")


async def deaf(peer: Peer) -> None:
    peer.stop_listening()
    await peer.say(READY)


async def half_of_it(peer: Peer) -> None:
    await peer.say(READY)
    await peer.reader.readexactly(100_000)
    peer.hang_up()


async def stops_reading(peer: Peer) -> None:
    await peer.say(READY)
    await peer.reader.readexactly(1_000)
    peer.writer.transport.pause_reading()


async def all_of_it(peer: Peer) -> None:
    await peer.take_all()


async def all_then_end(peer: Peer) -> None:
    await peer.take_all()
    peer.hang_up()


async def all_then_other(peer: Peer) -> None:
    await peer.take_all()
    await peer.say(b"libxl: error: no memory\n")


async def received_and_deaf(peer: Peer) -> None:
    await peer.take_all()
    peer.stop_listening()
    await peer.say(RECEIVED)


async def go_then_end(peer: Peer) -> None:
    await peer.take_to_go()
    peer.hang_up()


async def go_then_nothing(peer: Peer) -> None:
    await peer.take_to_go()


async def go_then_other(peer: Peer) -> None:
    await peer.take_to_go()
    await peer.say(b"Segmentation fault\n" * 3)


async def report_cut(peer: Peer) -> None:
    await peer.take_to_go()
    await peer.say(REPORT)
    peer.hang_up()


async def refused(peer: Peer) -> None:
    await peer.take_to_go()
    await peer.report(3)
    await peer.say(GO)


async def refused_no_permission(peer: Peer) -> None:
    await peer.take_to_go()
    await peer.report(0xFF)
    peer.hang_up()


# ----- what is left ---------------------------------------------------------------


async def named(ctx: Context, guest: Guest) -> str:
    (name,) = [x.name for x in await ctx.list_domains() if x.domid == guest.domid]
    return name


async def test_guest_that_runs_there_is_gone_here(ctx: Context, guest: Guest):
    result = await migrate(ctx, guest, good)
    assert result.guest is GuestState.GONE
    assert result.name == guest.name
    assert result.iterations > 0
    assert result.downtime_ns > 0
    assert guest.domid not in [info.domid for info in await ctx.list_domains()]
    assert await ctx.list_jobs() == []


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        pytest.param(not_there, PeerFailed, "ready", id="1-not-there"),
        pytest.param(motd, PeerFailed, "Welcome to target!", id="1-motd"),
        pytest.param(Silent(nothing), TimedOut, "peer_ready", id="1-silent"),
        pytest.param(deaf, PeerFailed, "has ended", id="2-deaf"),
    ],
)
async def test_receiver_that_is_not_there_leaves_the_guest_untouched(
    ctx: Context, guest: Guest, script: Script, error: type[JobError], words: str
):
    with pytest.raises(error, match=words):
        await migrate(ctx, guest, script)
    await aside(guest.assert_untouched)
    assert await named(ctx, guest) == guest.name
    assert await ctx.list_jobs() == []


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        pytest.param(half_of_it, StreamError, "stream failed", id="3-6-cut"),
        pytest.param(Silent(stops_reading), TimedOut, "no_progress", id="4-19-full"),
        pytest.param(all_then_end, PeerFailed, "has ended", id="7-end"),
        pytest.param(all_then_other, PeerFailed, "no memory", id="7-other"),
        pytest.param(Silent(all_of_it), TimedOut, "peer_built", id="7-19-silent"),
        pytest.param(received_and_deaf, PeerFailed, "told", id="8-go-unsaid"),
        pytest.param(refused, PeerFailed, "status 3", id="10-11-refused"),
        pytest.param(
            refused_no_permission, PeerFailed, "status 255", id="13-14-refused"
        ),
    ],
)
async def test_guest_that_does_not_run_there_runs_here(
    ctx: Context, guest: Guest, script: Script, error: type[JobError], words: str
):
    with pytest.raises(error, match=words) as caught:
        await migrate(ctx, guest, script)
    assert caught.value.guest is GuestState.RUNNING
    await aside(guest.assert_untouched)
    assert await named(ctx, guest) == guest.name
    assert await ctx.list_jobs() == []


async def test_name_that_is_taken_keeps_the_guest_here(
    ctx: Context, host: Path, pv: Guest
):
    with Guest(host, "pv") as other:
        await ctx.domain_rename(other.domid, f"{pv.name}--migratedaway")
        with pytest.raises(JobError, match="--migratedaway"):
            await migrate(ctx, pv, received)
    await aside(pv.assert_untouched)


async def test_guest_that_somebody_let_run_is_not_given_away(ctx: Context, pv: Guest):
    async def meddled(peer: Peer) -> None:
        await peer.take_all()
        env = ctx._env()
        async with env.hypercalls() as ops:
            facts = await hypercalls.get(ops, pv.domid)
            while not facts.suspended:
                facts = await hypercalls.get(ops, pv.domid)
            await resume_guest(env, ops, pv.domid, facts.uuid)
        await peer.say(RECEIVED)
        assert await peer.ends() == b"", "it was told GO"

    with pytest.raises(GuestFailed, match="let the guest run"):
        await migrate(ctx, pv, meddled)
    await aside(pv.assert_untouched)


async def received(peer: Peer) -> None:
    await peer.take_all()
    await peer.say(RECEIVED)
    assert await peer.ends() == b"", "it was told GO"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(go_then_end, id="9-12-15-16-end"),
        pytest.param(go_then_other, id="12-other"),
        pytest.param(report_cut, id="12-cut"),
        pytest.param(Silent(go_then_nothing), id="18-19-silent"),
    ],
)
async def test_guest_that_may_run_there_stays_suspended_and_is_nobody_s(
    ctx: Context, host: Path, guest: Guest, script: Script
):
    with pytest.raises(MigrationOpen) as caught:
        await migrate(ctx, guest, script)
    assert caught.value.guest is GuestState.SUSPENDED
    assert await named(ctx, guest) == f"{guest.name}--migratedaway"
    with pytest.raises((BackendError, DomainBusy)):
        await ctx.domain_resume(guest.domid)
    (found,) = await ctx.recover()
    assert found.outcome is Outcome.OPEN
    assert (await aside(guest.facts))["shutdown"]


async def test_cancel_is_heard_until_go(ctx: Context, pv: Guest):
    async with Peer.connected() as (peer, theirs):
        playing = asyncio.create_task(peer.take_all())
        fd = theirs.fileno()
        job = await ctx.domain_migrate(pv.domid, fd, fd)
        await reach(job, "received")
        await job.cancel()
        with pytest.raises(Cancelled):
            await job
        await playing
    await aside(pv.assert_untouched)


async def test_what_leads_nowhere_is_refused(ctx: Context, pv: Guest):
    with Path("/dev/null").open("r+b") as null:
        fd = null.fileno()
        with pytest.raises(UsageError, match="a pipe or a socket"):
            await ctx.domain_migrate(pv.domid, fd, fd)
    await aside(pv.assert_untouched)


async def test_paused_guest_needs_a_receiver_that_leaves_it_so(ctx: Context, pv: Guest):
    """In xl's handshake it can't be told."""
    await ctx.domain_pause(pv.domid)
    with pytest.raises(NotSupported, match="the target would let it run; give -p"):
        await migrate(ctx, pv, ready_only)
    await ctx.domain_unpause(pv.domid)
    await aside(pv.assert_untouched)


async def test_guest_that_is_paused_meanwhile_stays_here(ctx: Context, pv: Guest):
    async def pauses(peer: Peer) -> None:
        await peer.say(READY)
        await peer.reader.readexactly(1_000)
        await ctx.domain_pause(pv.domid)
        await peer.ends()

    with pytest.raises(GuestFailed, match="it was paused while it was copied") as it:
        await migrate(ctx, pv, pauses)
    assert it.value.guest is GuestState.PAUSED
    await ctx.domain_unpause(pv.domid)
    await aside(pv.assert_untouched)


async def test_paused_guest_moves_to_a_receiver_that_leaves_it_so(
    ctx: Context, guest: Guest
):
    await ctx.domain_pause(guest.domid)
    result = await migrate(ctx, guest, good, paused=True)
    assert result.guest is GuestState.GONE


async def ready_only(peer: Peer) -> None:
    await peer.say(READY)
