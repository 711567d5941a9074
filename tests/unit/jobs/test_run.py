"""Whatever a helper does, the job ends, once, with what happened."""

import asyncio
import errno
import os
import resource
import signal
from typing import Any

import pytest

from libxlpy.errors import (
    CallbackFailed,
    Cancelled,
    GuestTimedOut,
    HelperCrashed,
    JobError,
    ProtocolViolation,
    StreamError,
    TimedOut,
    XenError,
)
from libxlpy.events import LogEvent, PhaseEvent, ProgressEvent, StatEvent
from libxlpy.jobs.job import CancelKind
from libxlpy.process.pump import TAKEN
from libxlpy.results.report import GuestState, ImageState
from libxlpy_protocol.messages import CallMessage
from tests.support.scripted_jobs import FakeOperation, StartJob, Turns

pytestmark = pytest.mark.usefixtures("nothing_blocks")


async def outcome(job: Any) -> JobError:
    with pytest.raises(JobError) as caught:
        await job
    return caught.value


async def test_good_helper_gives_a_result_with_everything_in_it(start_job: StartJob):
    operation = FakeOperation()
    report = await start_job("good", operation)
    assert report.guest is GuestState.RUNNING
    assert report.image is ImageState.COMPLETE
    assert report.exit_status == "exit status 0"
    assert report.repairs == ("looked",)
    assert [name for name, _ in report.timeline] == [
        "spawn",
        "hello",
        "start",
        "libxc",
        "complete",
        "settle",
        "done",
    ]
    assert operation.settled == [True]
    assert len(operation.asked) == 1


async def test_pass_that_looks_like_the_one_before_is_in_the_history(
    start_job: StartJob,
):
    report = await start_job("last_passes_are_alike")
    assert report.statistics is not None
    sent = [each.pages_sent for each in report.statistics.history]
    assert sent == [2048, 13, 13]


async def test_events_are_seen_in_order_and_end_with_the_job(start_job: StartJob):
    job = start_job("good")
    seen = [type(event) async for event in job.events()]
    await job
    assert [kind for kind in seen if kind is not PhaseEvent] == [
        StatEvent,
        ProgressEvent,
        LogEvent,
        StatEvent,
    ]
    assert [event async for event in job.events()] == []


ENDS: dict[str, tuple[type[JobError], dict[str, object]]] = {
    "garbage": (ProtocolViolation, {}),
    "garbage_instead_of_hello": (ProtocolViolation, {}),
    "huge_frame": (ProtocolViolation, {}),
    "half_frame": (ProtocolViolation, {}),
    "stray_call": (ProtocolViolation, {}),
    "double_complete": (ProtocolViolation, {}),
    "says_why_and_exits": (HelperCrashed, {"status": 3, "signal": None}),
    "exits_early": (HelperCrashed, {"status": 29}),
    "dies": (HelperCrashed, {"signal": signal.SIGSEGV, "status": None}),
    "asks_and_dies": (HelperCrashed, {"signal": signal.SIGKILL}),
    "bad_status": (HelperCrashed, {"status": 5}),
    "xen_fails": (XenError, {"retval": -1, "errno": errno.EINVAL}),
    "disk_full": (StreamError, {"errno": errno.ENOSPC}),
    "told_by_signal": (Cancelled, {}),
}


@pytest.mark.parametrize("script", ENDS)
async def test_each_end_has_its_outcome(start_job: StartJob, script: str):
    kind, facts = ENDS[script]
    operation = FakeOperation()
    error = await outcome(start_job(script, operation))
    assert type(error) is kind
    assert {name: getattr(error, name) for name in facts} == facts
    assert error.guest is GuestState.RUNNING
    assert "\n" not in str(error)
    assert str(error) in error.report()
    assert operation.settled == [False]


WAITS: dict[str, tuple[str, dict[str, float]]] = {
    "no_hello": ("hello", {"hello": 0.3}),
    "stopped": ("heartbeat", {"heartbeat": 0.3}),
    "silent": ("heartbeat", {"heartbeat": 0.3}),
    "alive_but_stuck": ("no_progress", {"no_progress": 0.3}),
    "deaf": ("total", {"total": 1.0}),
    # What is written is on its way to a disk, and does not move any more.
    "flushes": ("flush", {"flush": 0.9, "no_progress": 0.3}),
    "stays_after_complete": ("exit_after_complete", {"exit_after_complete": 0.3}),
}


@pytest.mark.parametrize("script", WAITS)
async def test_each_deadline_is_named_when_it_passes(start_job: StartJob, script: str):
    name, deadlines = WAITS[script]
    error = await outcome(start_job(script, **deadlines))
    assert isinstance(error, TimedOut)
    assert (error.deadline, error.phase) == (name, name)
    assert error.seconds == deadlines[name]


async def test_closed_pipe_of_a_living_helper_is_a_violation(start_job: StartJob):
    error = await outcome(start_job("eof_only", exit_after_complete=0.3))
    assert isinstance(error, ProtocolViolation)
    assert error.details.exit_status == "signal SIGKILL"


async def test_pipe_that_outlives_its_helper_does_not_keep_the_job(start_job: StartJob):
    operation = FakeOperation()
    script = "dies_but_its_pipe_lives"
    error = await outcome(start_job(script, operation, exit_after_complete=0.3))
    assert isinstance(error, HelperCrashed)
    assert error.signal == signal.SIGKILL
    assert operation.settled == [False]


async def test_any_want_of_descriptors_is_an_outcome(start_job: StartJob):
    lowest = os.dup(0)
    os.close(lowest)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    ends: list[object] = []
    for spare in range(12):
        job = start_job("good")
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1 + spare, limits[1]))
        try:
            ends.append(await job)
        except HelperCrashed as exc:
            ends.append(str(exc))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    failed = [end for end in ends if isinstance(end, str)]
    assert ends[0] in failed
    assert ends[-1] not in failed
    assert all("Too many open files" in text for text in failed)
    assert all("Errno" not in text for text in failed)
    assert "raise it (ulimit -n)" in failed[0]


async def test_helper_that_did_not_start_is_quoted(start_job: StartJob):
    error = await outcome(start_job("says_why_and_exits"))
    assert "libxenctrl.so.4: not found" in str(error)
    assert error.image is ImageState.NONE
    assert "some noise" in error.details.stderr_tail


async def test_first_error_that_was_logged_is_the_hint(start_job: StartJob):
    error = await outcome(start_job("xen_fails"))
    assert "Failed to enable logdirty" in str(error)
    assert "error: xc: Save failed" in error.details.log_lines


async def test_stderr_is_kept_up_to_its_bound(start_job: StartJob):
    report = await start_job("floods_stderr")
    assert len(report.stderr_tail.encode()) <= 8192
    assert report.stderr_tail.endswith("line 19999 of what nobody reads\n")


# ----- cancelling -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("aborts_well", CancelKind.ACCEPTED),
        ("abort_crosses_success", CancelKind.ACCEPTED),
        ("asks_and_waits", CancelKind.ACCEPTED),
        ("deaf", CancelKind.ESCALATED),
        ("no_hello", CancelKind.ACCEPTED),
    ],
)
async def test_cancelled_job_is_cancelled_whatever_the_helper_says(
    start_job: StartJob, script: str, answer: CancelKind
):
    started = asyncio.Event()

    async def never(call: CallMessage) -> int:
        return await asyncio.get_running_loop().create_future()

    def observe(direction: str, message: object) -> None:
        wanted = "Suspend" if script == "asks_and_waits" else "Stat"
        if type(message).__name__ == ("Hello" if script == "no_hello" else wanted):
            started.set()

    operation = FakeOperation(on_call=never)
    job = start_job(script, operation, observer=observe)
    await started.wait()
    await asyncio.sleep(0)
    assert (await job.cancel("enough")).kind is answer
    error = await outcome(job)
    assert isinstance(error, Cancelled)
    assert "enough" in str(error)
    assert (await job.cancel()).kind is CancelKind.ALREADY_DONE


async def test_cancel_before_the_first_step_starts_no_helper(start_job: StartJob):
    job = start_job("good")
    job.request_cancel()
    assert isinstance(await outcome(job), Cancelled)
    assert job.helper_pid is None


async def test_cancel_of_a_complete_job_is_too_late(start_job: StartJob):
    complete = asyncio.Event()

    def observe(direction: str, message: object) -> None:
        if type(message).__name__ == "Complete":
            complete.set()

    job = start_job("good", observer=observe)
    await complete.wait()
    assert (await job.cancel()).kind is CancelKind.TOO_LATE
    assert (await job).image is ImageState.COMPLETE


async def test_twice_cancelled_owner_still_waits_for_the_end(start_job: StartJob):
    begun, aborted = asyncio.Event(), asyncio.Event()

    def observe(direction: str, message: object) -> None:
        if type(message).__name__ == "Stat":
            begun.set()
        if type(message).__name__ == "Abort":
            aborted.set()

    operation = FakeOperation()
    job = start_job("deaf", operation, observer=observe)
    owner = asyncio.ensure_future(job)
    await begun.wait()
    owner.cancel()
    await aborted.wait()
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    assert job.done()
    assert operation.settled == [False]
    assert isinstance(await outcome(job), Cancelled)


# ----- callbacks --------------------------------------------------------------------


async def test_callback_that_raises_is_the_outcome_with_its_cause(start_job: StartJob):
    async def fails(call: CallMessage) -> int:
        raise RuntimeError("no such switch")

    error = await outcome(start_job("asks", FakeOperation(on_call=fails)))
    assert isinstance(error, CallbackFailed)
    assert error.name == "suspend"
    assert isinstance(error.__cause__, RuntimeError)
    assert error.details.exit_status == "exit status 0"  # libxenguest cleaned up
    assert any("returned -1" in text for text in error.details.later_errors) is False


async def test_job_error_of_a_callback_is_the_outcome_itself(start_job: StartJob):
    async def fails(call: CallMessage) -> int:
        raise GuestTimedOut("never answered")

    error = await outcome(start_job("asks", FakeOperation(on_call=fails)))
    assert isinstance(error, GuestTimedOut)


@pytest.mark.parametrize("value", ["1", 2.5, None, 7])
async def test_answer_of_a_wrong_kind_is_a_failed_callback(
    start_job: StartJob, value: object
):
    async def gives(call: CallMessage) -> object:
        return value

    error = await outcome(start_job("asks", FakeOperation(on_call=gives)))
    assert isinstance(error, CallbackFailed)


async def test_callback_without_end_is_timed_out(start_job: StartJob):
    async def never(call: CallMessage) -> int:
        return await asyncio.get_running_loop().create_future()

    error = await outcome(start_job("asks", FakeOperation(on_call=never, seconds=0.2)))
    assert isinstance(error, TimedOut)
    assert error.deadline == "callback suspend"


async def test_callback_that_waits_for_nothing_gets_no_timer(
    start_job: StartJob, monkeypatch: pytest.MonkeyPatch
):
    timed: list[float | None] = []
    timeout_at = asyncio.timeout_at

    def noted(when: float | None) -> asyncio.Timeout:
        timed.append(when)
        return timeout_at(when)

    async def waits(call: CallMessage) -> int:
        await asyncio.sleep(0)
        return 1

    monkeypatch.setattr(asyncio, "timeout_at", noted)
    await start_job("asks")
    assert not timed
    await start_job("asks", FakeOperation(on_call=waits))
    assert len(timed) == 1


async def test_callback_may_bound_its_own_steps(start_job: StartJob):
    """In one task, with a context of its own, as in any other."""
    tasks = []

    async def bounded(call: CallMessage) -> int:
        tasks.append(asyncio.current_task())
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            tasks.append(asyncio.current_task())
            return 1
        return 0

    assert (await start_job("asks", FakeOperation(on_call=bounded))).repairs
    assert tasks[0] is tasks[1] is not None


@pytest.mark.parametrize("first", [True, False])
async def test_callback_may_cancel_its_job_in_any_step(
    start_job: StartJob, first: bool
):
    async def cancels(call: CallMessage) -> int:
        if not first:
            await asyncio.sleep(0)
        job.request_cancel("by its callback")
        return 1

    job = start_job("asks_and_waits", FakeOperation(on_call=cancels))
    error = await outcome(job)
    assert isinstance(error, Cancelled)
    assert "by its callback" in str(error)


async def test_callback_that_cancels_itself_does_not_hang_the_job(start_job: StartJob):
    async def cancels(call: CallMessage) -> int:
        raise asyncio.CancelledError

    error = await outcome(start_job("asks", FakeOperation(on_call=cancels)))
    assert isinstance(error, CallbackFailed)


async def test_callback_is_cancelled_when_its_helper_dies(start_job: StartJob):
    asked = asyncio.Event()
    ends: list[str] = []

    async def never(call: CallMessage) -> int:
        asked.set()
        try:
            return await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    job = start_job("asks_and_waits", FakeOperation(on_call=never))
    await asked.wait()
    assert job.helper_pid is not None
    os.kill(job.helper_pid, signal.SIGKILL)
    assert isinstance(await outcome(job), HelperCrashed)
    assert ends == ["cancelled"]


async def test_callback_that_ignores_cancellation_is_reported(start_job: StartJob):
    release = asyncio.Event()

    async def stubborn(call: CallMessage) -> int:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return 1

    error = await outcome(
        start_job("asks_and_dies", FakeOperation(on_call=stubborn), repair=0.3)
    )
    release.set()
    assert isinstance(error, HelperCrashed)
    assert error.details.later_errors in (
        ("callback suspend can't be stopped",),
        (),  # it died before the call was begun
    )


# ----- the loop stays free ----------------------------------------------------------


async def test_flood_gives_other_tasks_a_turn_per_read(start_job: StartJob):
    bytes_logged = 0

    def observe(direction: str, message: object) -> None:
        nonlocal bytes_logged
        if type(message).__name__ == "Log":
            bytes_logged += 1000

    with Turns() as turns:
        report = await start_job("floods", observer=observe)
    assert bytes_logged == 2048 * 1000
    assert turns.number >= bytes_logged // TAKEN
    assert len(report.log_lines) <= 40
    assert len(report.frames) <= 24
