"""What jobs tell to logging and to watchers; what these do never harms a job."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy import Cancelled, Context, GuestTimedOut, SuspendFlags, Watcher
from libxlpy.jobs.watchers import level_of
from tests.support.failing import until_full
from tests.support.guest import Guest, aside, saved_and_resumed, undone

LIVE = SuspendFlags.LIVE


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "libxlpy")
    return caplog


def of(log: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    return [record for record in log.records if record.name == name]


async def test_every_record_has_job_domid_and_phase(ctx: Context, pv: Guest, log):
    name = (await saved_and_resumed(ctx, pv)).name
    records = of(log, "libxlpy.job") + of(log, "libxlpy.helper")
    assert {vars(each)["job"] for each in records} == {name}
    assert {vars(each)["domid"] for each in records} == {pv.domid}
    phases = [vars(each)["phase"] for each in of(log, "libxlpy.job")]
    assert phases[0] == ""
    assert {"hello", "start", "suspend", "flush", "settle", "done"} <= set(phases)
    first, *_, last = of(log, "libxlpy.job")
    assert first.getMessage() == f"save of domain {pv.domid} begins"
    assert last.getMessage() == f"save of domain {pv.domid} is complete"


async def test_helper_lines_have_their_level(ctx: Context, pv: Guest, log):
    with Path("/dev/full").open("wb") as full:
        job = await ctx.domain_suspend(pv.domid, full.fileno(), LIVE)
        await job.ended()
    levels = {each.levelno for each in of(log, "libxlpy.helper")}
    assert logging.ERROR in levels
    assert of(log, "libxlpy.job")[-1].levelno == logging.ERROR
    assert of(log, "libxlpy.job")[-1].getMessage() == str(job.error)


async def test_cancel_is_a_warning(ctx: Context, pv: Guest, log):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
        await job.cancel()
    with pytest.raises(Cancelled):
        await job
    assert of(log, "libxlpy.job")[-1].levelno == logging.WARNING


async def test_cancel_with_a_stalled_reader_logs_no_error(
    ctx: Context, pv: Guest, full_pipe: int, log
):
    job = await ctx.domain_suspend(pv.domid, full_pipe, LIVE)
    await aside(until_full, full_pipe)
    await job.cancel()
    with pytest.raises(Cancelled) as caught:
        await job
    told = of(log, "libxlpy.helper")
    assert any("Bad file descriptor" in each.getMessage() for each in told)
    assert [each for each in told if each.levelno >= logging.WARNING] == []
    lines = caught.value.details.log_lines
    assert not any(line.startswith("error") for line in lines)


async def test_late_undo_is_told(ctx: Context, pv: Guest, log):
    watcher = Noting()
    ctx.watch(watcher)
    job = await undone(ctx, pv)
    *_, last, undo = of(log, "libxlpy.job")
    what = f"save of domain {pv.domid}"
    assert last.getMessage() == f"{what} is complete"
    assert undo.levelno == logging.WARNING
    assert undo.getMessage().startswith(f"{what} is undone: ")
    assert "nobody took its result (guest running)" in undo.getMessage()
    assert watcher.told[-2:] == ["ended: save None False", f"undone: {job.error}"]
    assert job.error is not None
    assert await aside(Path(job.error.details.file).exists)


def test_levels_of_xentoollog():
    assert [level_of(each) for each in range(11)] == [
        *[logging.DEBUG] * 5,
        *[logging.INFO] * 2,
        *[logging.WARNING, logging.ERROR, logging.CRITICAL, logging.CRITICAL],
    ]


def test_nothing_is_installed_and_nothing_printed():
    program = (
        "import logging\n"
        "from libxlpy import *\n"
        "from libxlpy.jobs import watchers as logs\n"
        "class Job: name, domid, phase = 'save-7', 7, 'libxc'\n"
        "logs.log(logs.JOBS, logging.CRITICAL, Job(), 'told')\n"
        "names = [n for n in logging.root.manager.loggerDict if 'libxlpy' in n]\n"
        "assert not any(logging.getLogger(n).handlers for n in names), names\n"
        "assert not logging.root.handlers\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ----- watchers -----------------------------------------------------------------------


class Noting(Watcher):
    """Notes what it is told, and raises each time if so wanted."""

    def __init__(self, fails: bool = False) -> None:
        self.told: list[str] = []
        self.fails = fails

    def note(self, what: str) -> None:
        self.told.append(what)
        if self.fails:
            raise RuntimeError("a watcher's defect")

    def began(self, job) -> None:
        self.note("began")

    def event(self, job, event) -> None:
        self.note(type(event).__name__)

    def ended(self, job) -> None:
        self.note(f"ended: {job.kind} {job.error} {job.done()}")

    def undone(self, job) -> None:
        self.note(f"undone: {job.error}")


async def test_watcher_sees_a_job_from_begin_to_end(ctx: Context, pv: Guest):
    watcher = Noting()
    ctx.watch(watcher)
    await saved_and_resumed(ctx, pv)
    assert watcher.told[0] == "began"
    assert watcher.told[-1] == "ended: save None False"
    assert {"PhaseEvent", "StatEvent"} <= set(watcher.told)
    ctx.unwatch(watcher)
    before = len(watcher.told)
    await saved_and_resumed(ctx, pv)
    assert len(watcher.told) == before


async def test_watcher_that_fails_harms_no_job(ctx: Context, pv: Guest):
    errors: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: errors.append(str(what["exception"])))
    watcher = Noting(fails=True)
    ctx.watch(watcher)
    await saved_and_resumed(ctx, pv)
    assert errors == ["a watcher's defect"] * len(watcher.told)
    assert watcher.told[-1].startswith("ended: save None")


async def test_watcher_sees_a_failure_with_its_report(ctx: Context, pv: Guest):
    pv.misbehave("never_ack")
    errors = []

    class Keeping(Watcher):
        def ended(self, job) -> None:
            errors.append(job.error)

    ctx.watch(Keeping())
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
        with pytest.raises(GuestTimedOut) as caught:
            await job
    assert errors == [caught.value]
    assert errors[0].details.what == job.what
