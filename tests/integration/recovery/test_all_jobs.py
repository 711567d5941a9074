"""Several contexts and processes on one host: each sees the others' jobs."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libxlpy import (
    AbortAnswer,
    BackendError,
    Cancelled,
    Context,
    DomainBusy,
    GuestState,
    Job,
    Outcome,
    SaveCallbacks,
    SaveResult,
    SuspendFlags,
)
from libxlpy.errors import UsageError
from libxlpy.journal import Entry, Folder
from tests.support.guest import Guest, aside

OTHER = """
import asyncio, sys
from libxlpy import Context, LibxlpyError

async def main(host, domid):
    async with Context("simxen", host) as ctx:
        try:
            with open("/dev/null", "wb") as null:
                await (await ctx.domain_suspend(domid, null.fileno()))
        except LibxlpyError as exc:
            print(type(exc).__name__, exc)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@contextlib.asynccontextmanager
async def stuck_save(ctx: Context, guest: Guest) -> AsyncIterator[tuple[Job, int]]:
    """A save to a pipe that is read only at the end; give it, and where to read."""
    read_fd, write_fd = os.pipe()
    try:
        job = await ctx.domain_suspend(guest.domid, write_fd, SuspendFlags.LIVE)
        os.close(write_fd)
        write_fd = -1
        async for event in job.events():
            if getattr(event, "name", "") == "libxc":
                break
        yield job, read_fd
    finally:
        for fd in (read_fd, write_fd):
            if fd >= 0:
                os.close(fd)


async def drained(job: Job[SaveResult], fd: int) -> SaveResult:
    """Read a save's stream to its end; give its result."""

    def read() -> None:
        while os.read(fd, 1 << 16):
            pass

    reading = asyncio.create_task(asyncio.to_thread(read))
    result = await job
    await reading
    return result


async def test_one_that_cannot_be_looked_at_holds_no_other_up(
    ctx: Context, pv: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does for which no descriptor is left."""

    def read(folder: Folder, domid: int) -> Entry | None:
        if domid == 0:
            raise BackendError("journal 0.json can't be read: Too many open files")
        return real(folder, domid)

    real = Folder.read
    monkeypatch.setattr(Folder, "domids", lambda _: [0, pv.domid])
    async with stuck_save(ctx, pv) as (job, fd):
        monkeypatch.setattr(Folder, "read", read)
        monkeypatch.setattr(Folder, "lost", lambda *_: True)
        scarce, busy = await ctx.recover()
        monkeypatch.undo()
        await drained(job, fd)
    assert (scarce.domid, scarce.outcome) == (0, Outcome.FAILED)
    assert str(scarce).endswith("can't be read: Too many open files")
    assert (busy.domid, busy.outcome) == (pv.domid, Outcome.RUNNING)


async def test_second_process_is_refused_and_harms_nothing(ctx: Context, pv: Guest):
    async with stuck_save(ctx, pv) as (job, fd):
        argv = [sys.executable, "-c", OTHER, str(pv.host), str(pv.domid)]
        other = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
        told, _ = await other.communicate()
        assert told.decode().startswith("DomainBusy")
        assert f"job {job.name} of process {os.getpid()}" in told.decode()
        assert (await drained(job, fd)).guest is GuestState.SUSPENDED
    await ctx.domain_resume(pv.domid)
    await asyncio.to_thread(pv.assert_untouched)


async def test_second_context_is_refused(ctx: Context, host: Path, pv: Guest):
    async with stuck_save(ctx, pv) as (job, fd), Context("simxen", host) as second:
        for act in (second.domain_destroy, second.domain_resume):
            with pytest.raises(DomainBusy) as caught:
                await act(pv.domid)
            assert (caught.value.job, caught.value.pid) == (job.name, os.getpid())
        await drained(job, fd)


async def test_jobs_are_seen_from_another_context(
    ctx: Context, host: Path, pv: Guest, hvm: Guest
):
    async with (
        stuck_save(ctx, pv) as (first, fd1),
        stuck_save(ctx, hvm) as (second, fd2),
        Context("simxen", host) as other,
    ):
        jobs = await other.list_jobs()
        assert [job.job for job in jobs] == [first.name, second.name]
        assert {job.state for job in jobs} == {"running"}
        assert {job.pid for job in jobs} == {os.getpid()}
        assert await other.recover() == []
        await drained(first, fd1)
        await drained(second, fd2)
        assert {job.state for job in await other.list_jobs()} == {"ended"}
        assert await other.recover() == []
        for guest in (pv, hvm):
            await other.domain_resume(guest.domid)
        assert await other.list_jobs() == []


async def test_job_of_another_context_is_aborted(ctx: Context, host: Path, hvm: Guest):
    async with stuck_save(ctx, hvm) as (job, _), Context("simxen", host) as other:
        answer, guest = await other.abort_job(job.name)
        assert answer is AbortAnswer.ABORTED
        assert guest is GuestState.RUNNING
        with pytest.raises(Cancelled, match="cancelled by request"):
            await job
        with pytest.raises(UsageError, match="no such job"):
            await other.abort_job(job.name)
    await asyncio.to_thread(hvm.assert_untouched)


async def test_abort_of_a_save_that_has_ended_is_too_late(ctx: Context, pv: Guest):
    async with stuck_save(ctx, pv) as (job, fd):
        await drained(job, fd)
        answer, guest = await ctx.abort_job(job.name)
        assert answer is AbortAnswer.TOO_LATE
        assert guest is GuestState.SUSPENDED


async def test_nothing_is_left_when_a_context_is_left(host: Path, pv: Guest):
    folder = Folder(host / "jobs")
    async with Context("simxen", host) as ctx, stuck_save(ctx, pv) as (job, fd):
        entry = json.loads((folder.path / f"{pv.domid}.json").read_text())
        assert entry["job"] == job.name
        assert entry["helpers"][0]["pid"] == job.helper_pid
        await drained(job, fd)
    assert list(folder.path.glob(f"{pv.domid}.*")) == []


async def test_failed_jobs_leave_nothing(ctx: Context, pv: Guest):
    async def suspend() -> int:
        raise ValueError("no")

    with Path("/dev/null").open("wb") as null:
        callbacks = SaveCallbacks(suspend=suspend)
        job = await ctx.xc_domain_save(pv.domid, null.fileno(), callbacks)
        await job.ended()
    left = await aside(os.listdir, pv.host / "jobs")
    assert not [name for name in left if name.startswith(f"{pv.domid}.")]


async def test_folder_open_to_others_is_refused(own_host: Path):
    folder = own_host / "jobs"
    folder.mkdir(mode=0o700)
    folder.chmod(0o755)
    with Guest(own_host, "pv") as guest:
        async with Context("simxen", own_host) as ctx:
            with pytest.raises(BackendError, match="is open to others: chmod 0700"):
                await ctx.domain_destroy(guest.domid)
    folder.chmod(0o700)
