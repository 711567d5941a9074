"""Saves while xenstored restarts, falls silent or is gone for good."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from libxlpy import (
    CallbackFailed,
    Context,
    Deadlines,
    GuestState,
    ImageState,
    SuspendFlags,
    XenstoreError,
)
from libxlpy.jobs.job import Job
from libxlpy.journal import Folder
from libxlpy.simxen.client import request
from libxlpy.xenstore import Watch, Xenstore, connect
from tests.support.failing import outcome
from tests.support.guest import Guest, aside, until_asked
from tests.support.real_host import QUICK

LIVE = SuspendFlags.LIVE
ROOT = "/tool/test-restart"
PATIENT = Deadlines(suspend_ack=60.0, xenstore=60.0)
IMPATIENT = Deadlines(suspend_ack=60.0, suspend=60.0, xenstore=1.0)


@pytest.fixture
async def own_ctx(own_host: Path, nothing_blocks: None) -> AsyncIterator[Context]:
    """Enter a context on a host whose xenstored this test may break."""
    async with Context("simxen", own_host, QUICK) as context:
        yield context


@pytest.fixture(params=["pv", "hvm"])
def own_guest(own_host: Path, request: pytest.FixtureRequest) -> Guest:
    """Give a guest on that host."""
    return Guest(own_host, request.param)


@pytest.fixture
async def store(own_host: Path, nothing_blocks: None) -> AsyncIterator[Xenstore]:
    async with connect(own_host / "xenstored.sock", timeout=20.0) as client:
        yield client


async def xenstored(host: Path, fault: str) -> None:
    await aside(lambda: request(host, "xenstored", fault=fault))


def until_acked(guest: Guest) -> None:
    folder = Folder(guest.host / "jobs")
    while (entry := folder.read(guest.domid)) is None or not entry.guest.acked:
        pass


async def for_ever(watch: Watch) -> None:
    while True:
        await watch.changed()


# ----- the client ---------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop", "restart"])
async def test_request_and_watch_outlast_a_restart(
    own_host: Path, store: Xenstore, fault: str
):
    async with store.watch(f"{ROOT}/w") as watch:
        await watch.changed()
        await xenstored(own_host, fault)
        await watch.changed()  # what happened meanwhile is not known
        await store.write(f"{ROOT}/w", b"1")
        await watch.changed()
        assert await store.read(f"{ROOT}/w") == b"1"


async def test_transaction_begins_anew_after_a_restart(own_host: Path, store: Xenstore):
    numbers: list[int] = []

    async def work(number: int) -> int:
        numbers.append(number)
        await store.write(f"{ROOT}/n", b"%d" % len(numbers), transaction=number)
        if len(numbers) == 1:
            await xenstored(own_host, "restart")
        await store.write(f"{ROOT}/m", b"", transaction=number)
        return len(numbers)

    assert await store.transact(work) == 2
    assert await store.read(f"{ROOT}/n") == b"2"
    assert len(set(numbers)) == 2


async def test_request_waits_until_it_is_back(own_host: Path, store: Xenstore):
    await xenstored(own_host, "die")
    reading = asyncio.create_task(store.read("/local/domain/0/name"))
    await xenstored(own_host, "")
    assert await reading == b"Domain-0"


@pytest.mark.parametrize(
    ("fault", "words"),
    [("die", "was not back in 0.5 s"), ("silent", "did not answer READ in 0.5 s")],
)
async def test_one_that_stays_away_is_told_in_bounded_time(
    own_host: Path, nothing_blocks: None, fault: str, words: str
):
    async with connect(own_host / "xenstored.sock", timeout=0.5) as store:
        assert await store.read("/") is not None
        await xenstored(own_host, fault)
        with pytest.raises(XenstoreError, match=words):
            await store.read("/")
        await xenstored(own_host, "")


async def test_one_that_stays_away_is_told_to_whoever_watches(
    own_host: Path, nothing_blocks: None
):
    socket = own_host / "xenstored.sock"
    async with connect(socket, timeout=0.5) as store, store.watch(ROOT) as watch:
        await watch.changed()
        await xenstored(own_host, "die")
        with pytest.raises(XenstoreError, match="was not back in"):
            await for_ever(watch)


# ----- saves --------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop", "restart"])
@pytest.mark.parametrize(
    ("slowly", "moment"),
    [("slow_ack", until_asked), ("slow_suspend", until_acked)],
    ids=["before the answer", "between answer and suspend"],
)
async def test_restart_does_not_fail_the_save(
    own_ctx: Context,
    own_guest: Guest,
    fault: str,
    slowly: str,
    moment: Callable[[Guest], None],
):
    own_guest.misbehave(slowly, seconds=2)
    with Path("/dev/null").open("wb") as null:
        job = await own_ctx.domain_suspend(
            own_guest.domid, null.fileno(), LIVE, deadlines=PATIENT
        )
        await aside(moment, own_guest)
        await xenstored(own_guest.host, fault)
        result = await job
    assert result.guest is GuestState.SUSPENDED
    await own_ctx.domain_resume(own_guest.domid)
    await aside(own_guest.assert_untouched)


@pytest.mark.parametrize("fault", ["die", "silent"])
async def test_one_gone_for_good_fails_the_save_and_the_guest_runs(
    own_ctx: Context, own_guest: Guest, fault: str
):
    own_guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        job = await own_ctx.domain_suspend(
            own_guest.domid, null.fileno(), LIVE, deadlines=IMPATIENT
        )
        await aside(until_asked, own_guest)
        await xenstored(own_guest.host, fault)
        error = await outcome(job)
    assert isinstance(error, CallbackFailed)
    assert isinstance(error.__cause__, XenstoreError)
    assert error.guest is GuestState.RUNNING
    assert error.image is not ImageState.COMPLETE
    assert any(
        "request to suspend looked after: FAILED" in fact for fact in error.repairs
    )
    facts = await aside(own_guest.facts)
    assert facts["running"]
    assert not facts["logdirty"]
    assert not facts["qemu_logdirty"]


async def suspended_without(ctx: Context, guest: Guest, deadlines: Deadlines) -> Job:
    """Begin a save; xenstored is gone once the guest has taken the request."""
    guest.misbehave("slow_suspend", seconds=2)
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(
            guest.domid, null.fileno(), LIVE, deadlines=deadlines
        )
    await aside(until_acked, guest)
    await xenstored(guest.host, "die")
    return job


async def test_hypervisor_is_enough_to_see_a_guest_suspend(
    own_ctx: Context, own_host: Path
):
    guest = Guest(own_host, "pv")
    job = await suspended_without(own_ctx, guest, PATIENT)
    assert (await job).guest is GuestState.SUSPENDED
    await xenstored(own_host, "")
    await own_ctx.domain_resume(guest.domid)
    await aside(guest.assert_untouched)


async def test_guest_whose_save_fails_for_want_of_xenstored_runs(
    own_ctx: Context, own_host: Path
):
    """The device model's nodes are needed after the guest has suspended."""
    guest = Guest(own_host, "hvm")
    error = await outcome(await suspended_without(own_ctx, guest, IMPATIENT))
    assert error.guest is GuestState.RUNNING
    facts = await aside(guest.facts)
    assert (facts["logdirty"], facts["qemu_logdirty"]) == (False, False)
    assert facts["qmp_running"]
