"""A guest that offers an event channel is asked to suspend by it."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy import (
    Cancelled,
    Context,
    Deadlines,
    GuestFailed,
    GuestState,
    GuestTimedOut,
    HelperCrashed,
    SuspendFlags,
)
from libxlpy.events import LogEvent
from libxlpy.process.link import HelperLink
from libxlpy_protocol.messages import AskToSuspend, OpResult
from tests.support.failing import At, outcome
from tests.support.guest import (
    Guest,
    aside,
    saved_and_resumed,
)
from tests.support.successor import Successor

LIVE = SuspendFlags.LIVE
PATIENT = Deadlines(suspend=60.0)
LATE = "the request can't be taken back"


@pytest.fixture(params=["pv", "pvh", "hvm"])
def guest(host: Path, request: pytest.FixtureRequest) -> Iterator[Guest]:
    with Guest(host, request.param, suspend_channel=True) as made:
        yield made


@pytest.fixture
def pv(host: Path) -> Iterator[Guest]:
    with Guest(host, "pv", suspend_channel=True) as made:
        yield made


def requests(guest: Guest) -> int:
    return guest.facts()["suspend_channel"]["requests"]


def until_asked(guest: Guest) -> None:
    while not requests(guest):
        pass


def until_unbound(guest: Guest) -> None:
    while guest.facts()["suspend_channel"]["bound"]:
        pass


def lock_path(guest: Guest) -> Path:
    return guest.host / f"suspend-evtchn-{guest.domid}.lock"


def is_locked(guest: Guest) -> bool:
    with lock_path(guest).open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        except BlockingIOError:
            return True
    return False


def offer(guest: Guest, port: bytes) -> None:
    """Write another port than the guest's into its node."""
    guest.write_node("device/suspend/event-channel", port)


async def test_it_suspends_and_says_so(ctx: Context, guest: Guest):
    written = At("SuspendEvent", lambda: None)
    ctx._observer = written
    for number in (1, 2):
        await saved_and_resumed(ctx, guest)
        assert await aside(requests, guest) == number
        assert not await aside(lock_path(guest).exists)
    ctx._observer = None
    assert written.seen.is_set()
    await aside(until_unbound, guest)
    await aside(guest.assert_untouched)


async def test_it_never_reacts(ctx: Context, guest: Guest):
    guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        error = await outcome(
            await ctx.domain_suspend(guest.domid, null.fileno(), LIVE)
        )
    assert isinstance(error, GuestTimedOut)
    assert "was asked to suspend but did not in 1.5 s" in str(error)
    assert error.guest is GuestState.RUNNING
    assert any(LATE in fact for fact in error.repairs)
    assert not await aside(lock_path(guest).exists)
    await aside(guest.assert_untouched)
    guest.misbehave("")
    await saved_and_resumed(ctx, guest)


async def test_it_suspends_too_late(ctx: Context, guest: Guest):
    guest.misbehave("slow_suspend", seconds=3, once=True)
    with Path("/dev/null").open("wb") as null:
        error = await outcome(
            await ctx.domain_suspend(guest.domid, null.fileno(), LIVE)
        )
    assert isinstance(error, GuestTimedOut)
    assert "guest resumed" in error.repairs
    assert error.guest is GuestState.RUNNING
    await aside(guest.assert_untouched)


async def test_it_crashes(ctx: Context, guest: Guest):
    guest.misbehave("crash")
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(guest.domid, null.fileno()))
    assert isinstance(error, GuestFailed)
    assert error.reason == "crash"


async def test_cancelled_while_it_is_asked(ctx: Context, pv: Guest):
    pv.misbehave("slow_suspend", seconds=2, once=True)
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), deadlines=PATIENT)
        await aside(until_asked, pv)
        await job.cancel()
        error = await outcome(job)
    assert isinstance(error, Cancelled)
    assert "guest resumed" in error.repairs
    await aside(pv.assert_untouched)


async def test_killed_helper_leaves_no_lock(ctx: Context, pv: Guest):
    pv.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), deadlines=PATIENT)
        await aside(until_asked, pv)
        assert await aside(is_locked, pv)
        assert job.helper_pid is not None
        os.kill(job.helper_pid, signal.SIGKILL)
        error = await outcome(job)
    assert isinstance(error, HelperCrashed)
    assert error.guest is GuestState.RUNNING
    assert not await aside(is_locked, pv)
    await aside(pv.assert_untouched)
    pv.misbehave("")
    await saved_and_resumed(ctx, pv)
    assert await aside(requests, pv) == 2
    assert not await aside(lock_path(pv).exists)


# ----- by xenstore instead ------------------------------------------------------------


async def saved_by_xenstore(ctx: Context, guest: Guest) -> str:
    """Save; give the warning that there must be."""
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(guest.domid, null.fileno())
        events = [event async for event in job.events() if isinstance(event, LogEvent)]
        await job
    assert await aside(requests, guest) == 0
    await ctx.domain_resume(guest.domid)
    await aside(guest.assert_untouched)
    [text] = [event.text for event in events if "event channel" in event.text]
    return text


@pytest.mark.parametrize(
    ("port", "why"),
    [
        (b"77", "Invalid argument"),
        (b"4294967295", "Invalid argument"),
        (b"4294967296", "'4294967296' is no port"),
        (b"-1", "'-1' is no port"),
        (b"1" * 4000, "is no port"),
        (b"\xff9", "is no port"),
    ],
)
async def test_port_that_can_not_be_bound(
    ctx: Context, pv: Guest, port: bytes, why: str
):
    await aside(offer, pv, port)
    assert why in await saved_by_xenstore(ctx, pv)
    assert not await aside(lock_path(pv).exists)


async def test_channel_that_another_program_uses(ctx: Context, pv: Guest):
    path = lock_path(pv)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.lockf(fd, fcntl.LOCK_EX, 1)
    said = await saved_by_xenstore(ctx, pv)
    assert f"another program has {path} locked" in said
    assert await aside(path.exists)
    os.close(fd)


async def test_lock_file_that_can_not_be_made(ctx: Context, pv: Guest):
    await aside(lock_path(pv).symlink_to, "/dev/null")
    assert "Too many levels" in await saved_by_xenstore(ctx, pv)


async def test_helper_that_can_not_use_it(
    ctx: Context, pv: Guest, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("libxlpy.process.link.SUSPEND_EVENT", "of a later version")
    assert "not supported" in await saved_by_xenstore(ctx, pv)


# ----- another domain -----------------------------------------------------------------


def successor_of(guest: Guest) -> Successor:
    return Successor(guest, suspend_channel=True)


async def test_domid_is_used_again_while_it_is_asked(ctx: Context, guest: Guest):
    guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(guest.domid, null.fileno(), deadlines=PATIENT)
        await aside(until_asked, guest)
        with await aside(successor_of, guest) as successor:
            error = await outcome(job)
            assert isinstance(error, GuestFailed)
            assert error.reason == "gone"
            await aside(successor.assert_left_alone)
            assert await aside(requests, successor) == 0


async def test_domid_is_used_again_before_it_is_asked(
    ctx: Context, pv: Guest, monkeypatch: pytest.MonkeyPatch
):
    """The helper looks whose the domid is right before it binds the channel."""
    made: list[Successor] = []
    ask_to_suspend = HelperLink.ask_to_suspend

    async def ask_late(link: HelperLink, ask: AskToSuspend) -> OpResult:
        made.append(await asyncio.shield(aside(successor_of, pv)))
        return await ask_to_suspend(link, ask)

    monkeypatch.setattr(HelperLink, "ask_to_suspend", ask_late)
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(pv.domid, null.fileno(), LIVE))
    with made[0] as successor:
        assert isinstance(error, GuestFailed)
        await aside(successor.assert_left_alone)
        assert await aside(requests, successor) == 0
        assert not await aside(lock_path(successor).exists)
