"""A defect of ours ends its job at once, and is told with all that is known."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from libxlpy.errors import Cancelled, JobError
from libxlpy.jobs.job import Job
from libxlpy.jobs.open_calls import OpenCalls
from libxlpy.jobs.operation import Run
from libxlpy.jobs.run import JobRun
from libxlpy.results.report import GuestState, JobReport, Settled
from libxlpy_protocol.messages import Stat
from tests.support.scripted_jobs import FakeOperation, StartJob

pytestmark = pytest.mark.usefixtures("nothing_blocks")

#: What runs for as long as it is let.
FOR_EVER = {"heartbeat": 3600.0, "abort_grace": 3600.0, "exit_after_complete": 3600.0}


class BlunderError(Exception):
    """What nothing should raise."""


def broken(*_: object, **__: object) -> Any:
    raise BlunderError("what a blunder")


async def defect(job: Job[Any], operation: FakeOperation) -> JobError:
    with pytest.raises(JobError) as caught:
        await job
    error = caught.value
    assert type(error) is JobError
    assert "a defect of libxlpy, please report it: BlunderError: what a blunder" in str(
        error
    )
    assert "\n" not in str(error)
    assert __file__ in str(error)
    assert "in broken" in error.report()  # the traceback
    assert error.guest is GuestState.RUNNING
    assert error.repairs[0] == "looked"
    assert operation.settled[-1] is False
    return error


# ----- whatever the event loop calls --------------------------------------------------

EVENTS: dict[str, tuple[str, Callable[[JobRun], tuple[object, str]]]] = {
    "heartbeat": ("deaf", lambda run: (run.record, "moved")),
    "phase": ("deaf", lambda run: (run.operation, "phase_limit")),
    "log line": ("good", lambda run: (run.record, "news")),
    "call": ("asks_and_waits", lambda run: (run._calls, "begin")),
    "verdict": ("stays_after_complete", lambda run: (run.record, "completed")),
    "hello": ("deaf", lambda run: (run, "_start")),
    "deadline": ("deaf", lambda run: (run, "_deadline_passed")),
}


@pytest.mark.parametrize("event", EVENTS)
async def test_event_that_can_not_be_taken_ends_the_job(
    start_job: StartJob, monkeypatch: pytest.MonkeyPatch, event: str
):
    script, part = EVENTS[event]
    operation = FakeOperation()
    total = 0.3 if event == "deadline" else 3600.0
    monkeypatch.setattr(JobRun, "_deadline_passed", broken)
    job = start_job(script, operation, **FOR_EVER, total=total)
    owner, name = part(job._run)
    monkeypatch.setattr(owner, name, broken)
    assert (await defect(job, operation)).details.exit_status == "signal SIGKILL"


async def test_answer_that_is_lost_ends_the_job(
    start_job: StartJob, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(OpenCalls, "_try", broken)
    operation = FakeOperation()
    await defect(start_job("asks_and_waits", operation, **FOR_EVER), operation)


async def test_observer_that_raises_ends_the_job(start_job: StartJob):
    def observe(direction: str, message: object) -> None:
        if isinstance(message, Stat):
            broken()

    operation = FakeOperation()
    await defect(start_job("deaf", operation, observer=observe, **FOR_EVER), operation)


# ----- the end ------------------------------------------------------------------------


class Unsettled(FakeOperation):
    """Can't look after the guest for the first times."""

    times = 1

    async def settle(self, run: Run) -> Settled:
        self.times -= 1
        return broken() if self.times >= 0 else await super().settle(run)


@pytest.mark.parametrize("script", ["good", "dies"])
async def test_repair_that_raises_is_done_again(start_job: StartJob, script: str):
    operation = Unsettled()
    job = start_job(script, operation)
    with pytest.raises(JobError) as caught:
        await job
    told = str(caught.value) + "".join(caught.value.details.later_errors)
    assert "BlunderError: what a blunder" in told
    assert ("SIGSEGV" in str(caught.value)) is (script == "dies")
    assert caught.value.guest is GuestState.RUNNING
    assert operation.settled == [False]


async def test_repair_that_always_raises_still_asks_for_the_guest(
    start_job: StartJob, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []

    async def ask(env: object, domid: int, uuid: str) -> Settled:
        asked.append(domid)
        return Settled(GuestState.SUSPENDED)

    monkeypatch.setattr("libxlpy.jobs.run.ask_guest", ask)
    operation = Unsettled()
    operation.times = 2
    with pytest.raises(JobError, match="BlunderError") as caught:
        await start_job("good", operation)
    assert asked == [operation.domid]
    assert caught.value.guest is GuestState.SUSPENDED


class Resultless(FakeOperation):
    """Ends well, but can't tell what came of it."""

    def result(self, run: Run, report: JobReport) -> JobReport:
        return broken()

    async def abandon(self, run: Run) -> Settled:
        self.settled.append(False)
        return Settled(GuestState.RUNNING, ("looked", "undone"))


async def test_job_whose_result_can_not_be_told_is_undone(start_job: StartJob):
    operation = Resultless()
    error = await defect(start_job("good", operation), operation)
    assert error.repairs == ("looked", "undone")


async def test_job_that_can_not_be_undone_is_told_all_the_same(start_job: StartJob):
    operation = Resultless()
    operation.abandon = broken  # type: ignore[method-assign]
    operation.settled.append(False)
    with pytest.raises(JobError, match="BlunderError") as caught:
        await start_job("good", operation)
    assert caught.value.guest is GuestState.RUNNING


async def test_outcome_stands_if_the_job_can_not_be_cleared_away(start_job: StartJob):
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
    job = start_job("good")
    job._ended = broken
    assert (await job).guest is GuestState.RUNNING
    assert [type(each["exception"]) for each in told] == [BlunderError]


async def test_loop_that_ends_while_the_guest_is_looked_after_is_no_success(
    start_job: StartJob,
):
    looking = asyncio.Event()

    class Slow(FakeOperation):
        async def settle(self, run: Run) -> Settled:
            looking.set()
            return await asyncio.get_running_loop().create_future()

    job = start_job("good", Slow())
    await looking.wait()
    job._task.cancel()
    await job.ended()
    assert isinstance(job._outcome, Cancelled)
