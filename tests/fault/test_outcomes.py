"""Each way a job can end, reached by a real fault: type, fields, guest, image."""

import asyncio
import errno
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from libxlpy import (
    CallbackFailed,
    Cancelled,
    Context,
    GuestFailed,
    GuestState,
    GuestTimedOut,
    HelperCrashed,
    ImageState,
    JobError,
    MigrationOpen,
    ParentLost,
    PeerFailed,
    ProtocolViolation,
    RestoreCallbacks,
    SaveCallbacks,
    SaveResult,
    StreamError,
    SuspendFlags,
    TimedOut,
    XenError,
)
from libxlpy.jobs.job import Job
from libxlpy.jobs.run import GUARDS
from tests.fault.deaths import die
from tests.fault.liar import LyingJobs
from tests.support.failing import At
from tests.support.guest import Guest, aside
from tests.support.peers import Peer
from tests.support.victim import Victim

NULL = Path(os.devnull)


async def save(ctx: Context, guest: Guest, path: Path = NULL) -> Job[Any]:
    with path.open("wb") as file:
        return await ctx.domain_suspend(guest.domid, file.fileno(), SuspendFlags.LIVE)


# ----- the faults ---------------------------------------------------------------------


async def none(ctx: Context, guest: Guest) -> Job[Any]:
    return await save(ctx, guest)


async def cancel(ctx: Context, guest: Guest) -> Job[Any]:
    guest.misbehave("never_ack")
    job = await save(ctx, guest)
    async for event in job.events():
        if getattr(event, "name", "") == "suspend":
            break
    job.request_cancel("enough")
    return job


async def signal_at_work(ctx: Context, guest: Guest, number: int) -> Job[Any]:
    job: Job[Any] | None = None

    def send() -> None:
        assert job is not None
        assert job.helper_pid is not None
        os.kill(job.helper_pid, number)

    ctx._observer = At("<Phase", send)
    job = await save(ctx, guest)
    return job


async def stop_helper(ctx: Context, guest: Guest) -> Job[Any]:
    return await signal_at_work(ctx, guest, signal.SIGSTOP)


async def kill_helper(ctx: Context, guest: Guest) -> Job[Any]:
    return await signal_at_work(ctx, guest, signal.SIGKILL)


async def lie(ctx: Context, guest: Guest) -> Job[Any]:
    ctx._jobs = LyingJobs("garbage", "<Phase")
    return await save(ctx, guest)


async def device_model_refuses(ctx: Context, guest: Guest) -> Job[Any]:
    guest.misbehave("qmp_error", command="stop", once=True)
    return await save(ctx, guest)


async def callback_answers_failed(ctx: Context, guest: Guest) -> Job[Any]:
    async def suspend() -> int:
        return 0

    async def logdirty(domid: int, enable: bool) -> int:
        return 0

    callbacks = SaveCallbacks(suspend=suspend, switch_qemu_logdirty=logdirty)
    with NULL.open("wb") as file:
        return await ctx.xc_domain_save(guest.domid, file.fileno(), callbacks)


async def disk_is_full(ctx: Context, guest: Guest) -> Job[Any]:
    return await save(ctx, guest, Path("/dev/full"))


async def stream_is_garbage(ctx: Context, guest: Guest) -> Job[Any]:
    with Path("/dev/zero").open("rb") as file:
        callbacks = RestoreCallbacks()
        return await ctx.xc_domain_restore(guest.domid, file.fileno(), callbacks)


async def guest_is_deaf(ctx: Context, guest: Guest) -> Job[Any]:
    guest.misbehave("never_ack")
    return await save(ctx, guest)


async def guest_crashes(ctx: Context, guest: Guest) -> Job[Any]:
    guest.misbehave("crash")
    return await save(ctx, guest)


async def migrated(
    ctx: Context, guest: Guest, script: Callable[[Peer], Awaitable[None]]
) -> Awaitable[Any]:
    """Migrate to a receiver that follows a script and then hangs up."""

    async def told() -> None:
        async with Peer.connected() as (peer, theirs):
            playing = asyncio.create_task(script(peer))
            fd = theirs.fileno()
            job = await ctx.domain_migrate(guest.domid, fd, fd)
            await playing
            peer.hang_up()
            await job

    return told()


async def receiver_hangs_up(ctx: Context, guest: Guest) -> Awaitable[Any]:
    return await migrated(ctx, guest, Peer.take_all)


async def receiver_hangs_up_after_go(ctx: Context, guest: Guest) -> Awaitable[Any]:
    return await migrated(ctx, guest, Peer.take_to_go)


async def we_blunder(ctx: Context, guest: Guest) -> Job[Any]:
    job = await save(ctx, guest)
    job._run.record.moved = None  # type: ignore[method-assign,assignment]
    return job


async def parent_dies(ctx: Context, guest: Guest) -> Awaitable[Any]:
    """Another toolstack dies with its helper; we recover what it left."""
    victim = Victim(guest.host, guest.domid, guest.kind)
    path = guest.host / "image"
    assert await aside(die, victim, path, "<ToolstackSave")
    (found,) = await ctx.recover()
    assert not await aside(path.exists)

    async def told() -> None:
        raise found.error

    return told()


# ----- the outcomes -------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """How a job ends by one fault."""

    fault: Callable[[Context, Guest], Awaitable[Awaitable[Any]]]
    kind: type
    fields: dict[str, object] = field(default_factory=dict)
    guest: GuestState = GuestState.RUNNING
    image: ImageState | None = None
    #: Of the helper, which then has used something; "" if only its parent knew.
    exit_status: str = "exit status 0"


KILLED = "signal SIGKILL"
ENDS = [
    End(
        none,
        SaveResult,
        {},
        GuestState.SUSPENDED,
        ImageState.COMPLETE,
        exit_status=GUARDS,
    ),
    End(cancel, Cancelled),
    End(
        stop_helper,
        TimedOut,
        {"deadline": "heartbeat", "phase": "heartbeat", "seconds": 2.0},
        exit_status=KILLED,
    ),
    End(
        kill_helper,
        HelperCrashed,
        {"signal": signal.SIGKILL, "status": None, "oom": ""},
        exit_status=KILLED,
    ),
    End(
        lie,
        ProtocolViolation,
        {"frame": b"\x00\x00\x00\x07garbage"},
        exit_status=KILLED,
    ),
    End(device_model_refuses, CallbackFailed, {"name": "suspend", "value": None}),
    End(callback_answers_failed, CallbackFailed, {"name": "suspend", "value": 0}),
    End(disk_is_full, StreamError, {"errno": errno.ENOSPC}),
    End(stream_is_garbage, XenError, {"retval": -1, "library": "libxenguest"}),
    End(guest_is_deaf, GuestTimedOut),
    End(guest_crashes, GuestFailed, {"reason": "crash"}, GuestState.SHUTDOWN),
    End(
        receiver_hangs_up,
        PeerFailed,
        {"why": "the connection has ended"},
        image=ImageState.COMPLETE,
    ),
    End(
        receiver_hangs_up_after_go,
        MigrationOpen,
        {},
        GuestState.SUSPENDED,
        ImageState.COMPLETE,
    ),
    End(we_blunder, JobError, exit_status=KILLED),
    End(parent_dies, ParentLost, image=ImageState.PARTIAL, exit_status=""),
]


def test_every_outcome_is_reached():
    kinds = {end.kind for end in ENDS} - {SaveResult, JobError}
    assert kinds == set(JobError.__subclasses__())


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.fault.__name__)
async def test_fault_has_its_outcome(ctx: Context, hvm: Guest, end: End):
    job = await end.fault(ctx, hvm)
    outcome: Any = None
    try:
        outcome = await job
    except JobError as exc:
        outcome = exc
    finally:
        ctx._observer = None
    report = outcome.report if end.kind is SaveResult else outcome.details
    assert type(outcome) is end.kind, report
    assert {name: getattr(outcome, name) for name in end.fields} == end.fields
    assert outcome.guest is end.guest
    assert end.image in {None, outcome.image}
    assert report.exit_status == end.exit_status
    assert bool(report.rusage) is (end.exit_status not in ("", GUARDS))
    if report.rusage is not None:
        assert report.rusage.max_rss_bytes > 1 << 20
        assert report.rusage.user_seconds + report.rusage.system_seconds > 0
    if end.kind is SaveResult:
        await ctx.domain_resume(hvm.domid)
    if end.kind is MigrationOpen:
        uuid = (await aside(hvm.facts))["uuid"]
        await ctx.migration_settle(hvm.domid, uuid, is_here=True)
    if end.guest is not GuestState.SHUTDOWN:
        await aside(hvm.assert_untouched)
