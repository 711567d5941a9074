"""A guest is told before it is suspended to migrate, and may hold that back."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libxlpy import (
    Cancelled,
    Context,
    GuestFailed,
    GuestState,
    Job,
    MigrateResult,
    MigrationOpen,
    Outcome,
    PeerFailed,
)
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.xenstore_wire import XsType
from tests.support.guest import Guest, aside, reach
from tests.support.peers import Peer
from tests.support.real_host import QUICK
from tests.support.shell import PATIENCE, ROOT, environment

NOTICE, HOLD = "control/libxlpy/migrate", "data/libxlpy/hold"
DEADLINES = QUICK.replace(guest_hold=1.0, peer_built=5.0)
DYING = ROOT / "tests" / "fault" / "dying_migration.py"
#: A hold that is longer than the test.
FOR_EVER = 600_000


@pytest.fixture
async def store(host: Path) -> AsyncIterator[Xenstore]:
    async with connect(host / "xenstored.sock", timeout=5.0) as store:
        yield store


@contextlib.asynccontextmanager
async def migrating(
    ctx: Context, guest: Guest, *, good: bool = True, hold: float = 1.0
) -> AsyncIterator[Job[MigrateResult]]:
    """Migrate to a peer that takes it all, and lets it run or does not."""
    async with Peer.connected() as (peer, theirs):

        async def play() -> None:
            if good:
                await peer.take_to_go()
                await peer.report(0)
            else:
                await peer.take_all()
                peer.hang_up()

        playing = asyncio.create_task(play())
        try:
            fd = theirs.fileno()
            deadlines = DEADLINES.replace(guest_hold=hold)
            yield await ctx.domain_migrate(guest.domid, fd, fd, deadlines=deadlines)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


async def until(store: Xenstore, guest: Guest, node: str, value: bytes | None) -> None:
    path = f"/local/domain/{guest.domid}/{node}"
    async with asyncio.timeout(20), store.watch(path) as watch:
        while await store.read(path) != value:
            await watch.changed()


def phases(timeline: tuple[tuple[str, float], ...]) -> dict[str, float]:
    return dict(timeline)


async def test_guest_is_told_before_it_is_asked_and_not_waited_for(
    ctx: Context, host: Path, store: Xenstore
):
    with Guest(host, "pv") as guest:
        await aside(guest.misbehave, "never_ack")
        async with migrating(ctx, guest) as job:
            await until(store, guest, "control/shutdown", b"suspend")
            path = f"/local/domain/{guest.domid}/{NOTICE}"
            assert await store.read(path) == b"soon"
            await aside(guest.misbehave, "")
            await job.cancel()
            with pytest.raises(Cancelled) as caught:
                await job
        assert "hold" not in phases(caught.value.details.timeline)


async def test_guest_that_never_wanted_to_know_costs_no_time(
    ctx: Context, host: Path, pv: Guest
):
    async with migrating(ctx, pv, hold=30.0) as job:
        result = await job
    assert "hold" not in phases(result.timeline)
    assert result.report.remarks == ()


@pytest.mark.parametrize("kind", ["pv", "hvm"])
async def test_guest_that_holds_is_waited_for_until_it_lets_go(
    ctx: Context, host: Path, kind: str
):
    with Guest(host, kind, hold_ms=500) as guest:
        async with migrating(ctx, guest, hold=30.0) as job:
            result = await job
    at = phases(result.timeline)
    assert 0.4 < at["suspend"] - at["hold"] < 10
    assert result.guest is GuestState.GONE
    assert result.report.remarks == ()


async def test_guest_that_holds_for_ever_is_suspended_all_the_same(
    ctx: Context, host: Path
):
    with Guest(host, "pv", hold_ms=FOR_EVER) as guest:
        async with migrating(ctx, guest) as job:
            result = await job
    at = phases(result.timeline)
    assert at["suspend"] - at["hold"] > 0.9
    assert result.guest is GuestState.GONE
    (remark,) = result.report.remarks
    assert remark.startswith("guest held its migration back for 1 s")


async def test_guest_that_is_paused_while_it_holds_is_not_waited_for(
    ctx: Context, host: Path, store: Xenstore
):
    with Guest(host, "pv", hold_ms=FOR_EVER) as guest:
        await until(store, guest, HOLD, b"1")
        async with migrating(ctx, guest, hold=60.0) as job:
            await reach(job, "hold")
            await ctx.domain_pause(guest.domid)
            with pytest.raises(GuestFailed, match="paused while it was copied") as got:
                await job
        assert got.value.guest is GuestState.PAUSED
        at = phases(got.value.details.timeline)
        assert at["settle"] - at["hold"] < 30


async def test_cancel_is_heard_while_a_guest_holds(
    ctx: Context, host: Path, store: Xenstore
):
    with Guest(host, "pv", hold_ms=FOR_EVER) as guest:
        async with migrating(ctx, guest, hold=60.0) as job:
            await reach(job, "hold")
            await job.cancel()
            with pytest.raises(Cancelled) as caught:
                await job
        assert caught.value.guest is GuestState.RUNNING
        await aside(guest.assert_untouched)
        await until(store, guest, NOTICE, None)


async def test_guest_that_stays_is_told_so_and_may_hold_again(
    ctx: Context, host: Path, store: Xenstore
):
    with Guest(host, "pv", hold_ms=100) as guest:
        for _ in range(2):
            async with migrating(ctx, guest, good=False, hold=30.0) as job:
                with pytest.raises(PeerFailed) as caught:
                    await job
            assert "hold" in phases(caught.value.details.timeline)
            assert caught.value.guest is GuestState.RUNNING
            await until(store, guest, NOTICE, None)
            await until(store, guest, HOLD, b"1")


async def test_guest_that_is_settled_to_be_here_is_told_so(
    ctx: Context, store: Xenstore, pv: Guest
):
    async with Peer.connected() as (peer, theirs):
        playing = asyncio.create_task(peer.take_to_go())
        playing.add_done_callback(lambda _: peer.hang_up())
        fd = theirs.fileno()
        job = await ctx.domain_migrate(pv.domid, fd, fd, deadlines=DEADLINES)
        with pytest.raises(MigrationOpen):
            await job
    path = f"/local/domain/{pv.domid}/{NOTICE}"
    assert await store.read(path) == b"soon"
    uuid = (await aside(pv.facts))["uuid"]
    await ctx.migration_settle(pv.domid, uuid, is_here=True)
    assert await store.read(path) is None


async def test_guest_can_write_where_it_holds_and_not_what_it_is_told(
    ctx: Context, host: Path, store: Xenstore
):
    """As with libxl: ``data`` is the guest's, ``control`` is not."""
    with Guest(host, "pv", hold_ms=FOR_EVER) as guest:
        await until(store, guest, HOLD, b"1")
        async with migrating(ctx, guest, hold=60.0) as job:
            await reach(job, "hold")
            home = f"/local/domain/{guest.domid}"
            assert await permissions(store, f"{home}/{HOLD}") == [f"n{guest.domid}"]
            told = await permissions(store, f"{home}/{NOTICE}")
            assert told == ["n0", f"r{guest.domid}"]
            await job.cancel()


async def permissions(store: Xenstore, path: str) -> list[str]:
    _, payload = await store.connection.request(XsType.GET_PERMS, f"{path}\0".encode())
    return [entry.decode() for entry in payload.split(b"\0") if entry]


async def test_guest_whose_sender_died_is_told_by_recover(
    ctx: Context, host: Path, store: Xenstore
):
    with Guest(host, "pv", hold_ms=FOR_EVER) as guest:
        async with Peer.connected() as (peer, theirs):
            playing = asyncio.create_task(peer.take_all())
            await aside(run_dying, host, guest.domid, theirs.fileno())
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        path = f"/local/domain/{guest.domid}/{NOTICE}"
        assert await store.read(path) == b"soon"
        (found,) = await ctx.recover()
        assert found.outcome is Outcome.ROLLED_BACK, found
        assert await store.read(path) is None
        await aside(guest.assert_untouched)


def run_dying(host: Path, domid: int, fd: int) -> None:
    plan = {"role": "send", "host": str(host), "domid": domid, "fds": [fd]}
    plan |= {"who": "self", "at": "hold"}
    argv = [sys.executable, str(DYING), json.dumps(plan)]
    done = subprocess.run(
        argv, pass_fds=[fd], env=environment(), timeout=PATIENCE, check=False
    )
    assert done.returncode == -signal.SIGKILL
