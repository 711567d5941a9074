"""A job that fails leaves a report; whatever becomes of that, the outcome stands."""

import asyncio
import os
import threading
from importlib.metadata import version
from pathlib import Path

import pytest

from libxlpy import Cancelled, Context, GuestTimedOut, SuspendFlags, UsageError
from libxlpy.journal import reports as module
from tests.support.guest import Guest, aside, reach
from tests.support.real_host import QUICK

LIVE = SuspendFlags.LIVE
VERSION = version("libxlpy")  # reads files


async def failed(ctx: Context, guest: Guest) -> GuestTimedOut:
    """Have a save fail."""
    guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(guest.domid, null.fileno(), LIVE)
        with pytest.raises(GuestTimedOut) as caught:
            await job
    await aside(guest.assert_untouched)
    return caught.value


async def test_report_has_the_whole_story(ctx: Context, host: Path, pv: Guest):
    error = await failed(ctx, pv)
    path = Path(error.details.file)
    assert path.parent == host / "reports"
    assert f"report: {path}" in error.details.lines()
    text = await ctx.job_report(path.stem)
    status = await aside(path.stat)
    assert (status.st_mode & 0o777, status.st_size) == (0o600, len(text.encode()))
    pattern = await aside(Path("/proc/sys/kernel/core_pattern").read_text)
    for line in (
        f"name: {path.stem}",
        f"libxlpy: {VERSION}",
        f"core pattern: {pattern.strip()}",
        f"error: {error}",
        "guest: running",
    ):
        assert line in text.splitlines()
    assert os.uname().release in text
    assert "library: " in text
    assert "libsimxen" in text
    for start in ("timeline: ", "frame: ", "log: ", "repair: ", "python: "):
        assert f"\n{start}" in text, start


async def test_cancel_that_went_well_leaves_none(ctx: Context, pv: Guest):
    pv.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
        await reach(job, "suspend")
        await job.cancel()
    with pytest.raises(Cancelled) as caught:
        await job
    assert caught.value.details.file == ""
    with pytest.raises(UsageError, match=f"no report of job {job.name}: "):
        await ctx.job_report(job.name)


async def test_report_that_cannot_be_written_changes_nothing(own_host: Path):
    (own_host / "reports").touch()
    with Guest(own_host, "pv") as guest:
        async with Context("simxen", own_host, QUICK) as ctx:
            error = await failed(ctx, guest)
    assert error.details.file == ""
    assert "is no folder: remove it" in error.details.later_errors[-1]
    (own_host / "reports").unlink()


async def test_disk_that_hangs_costs_bounded_time(
    ctx: Context, pv: Guest, monkeypatch: pytest.MonkeyPatch
):
    reading, writing = os.pipe()  # what the disk waits for
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(
        module.CrashReports, "write", lambda *_: os.read(reading, 1).decode()
    )
    error = await failed(ctx, pv)
    assert error.details.later_errors[-1] == "report was not written within 0.2 s"
    await aside(os.write, writing, b"x")
    await asyncio.to_thread(joined)
    os.close(writing)
    os.close(reading)


def joined() -> None:
    """Wait until the disk's thread has ended."""
    for thread in threading.enumerate():
        if thread.name == "libxlpy aside":
            thread.join()
