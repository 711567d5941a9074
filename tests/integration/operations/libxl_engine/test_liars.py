"""Helpers that lie, hang or die: a typed outcome, the guest as it was, nothing left."""

import asyncio
from pathlib import Path

import pytest

from libxlpy import (
    Cancelled,
    Context,
    Deadlines,
    GuestState,
    HelperCrashed,
    JobError,
    LogEvent,
    NotSupported,
    ProtocolViolation,
    StreamError,
    SuspendFlags,
    TimedOut,
    UsageError,
    XenError,
    policies,
)
from libxlpy.jobs.job import CancelKind
from tests.integration.operations.libxl_engine.conftest import DEADLINES
from tests.support.guest import Guest, aside

LIVE = SuspendFlags.LIVE
STALL = "'stall'"
HELLO = "'hello'"
#: Shorter where it is to pass; our own helper must say hello, too.
BOUNDS = {STALL: DEADLINES.replace(stall=1.0), HELLO: DEADLINES.replace(hello=8.0)}

#: Liar -> outcome, and a word of it.
LIES: dict[str, tuple[type[JobError], str]] = {
    "half_a_length": (TimedOut, "'message'"),
    "half_a_message": (TimedOut, "'message'"),
    "half_a_message_then_eof": (ProtocolViolation, "truncated"),
    "largest_length_and_nothing": (TimedOut, "'message'"),
    "never_ending_message": (TimedOut, "'message'"),
    "unknown_number": (ProtocolViolation, "no message has the number 11"),
    "callback_not_offered": (ProtocolViolation, "callback mask"),
    "empty_body": (ProtocolViolation, "body of 0 bytes"),
    "text_without_nul": (ProtocolViolation, "NUL"),
    "second_question_before_the_answer": (ProtocolViolation, "in state CALLING"),
    "malformed_complete": (ProtocolViolation, "Complete: body of 6 bytes"),
    "complete_twice": (ProtocolViolation, "in state COMPLETED"),
    "floods_logs": (TimedOut, STALL),
    "floods_both_pipes": (TimedOut, STALL),
    "says_nothing": (TimedOut, HELLO),
    "silent": (TimedOut, STALL),
    "deaf": (TimedOut, STALL),
    "exits_without_a_word": (HelperCrashed, "exit status 0"),
    "exits_with_a_reason": (HelperCrashed, "exit status 255: assertion failed"),
    "exits_with_an_error_logged": (HelperCrashed, ": xc_interface_open failed"),
    "dies": (HelperCrashed, "SIGSEGV"),
    "fails": (XenError, "EINVAL): Failed to map domain memory"),
    "disk_full": (StreamError, "ENOSPC"),
    "completes_and_stays": (TimedOut, "'exit_after_complete'"),
    "completes_and_crashes": (HelperCrashed, "exit status 3: after it had completed"),
    "closes_its_pipe_and_stays": (ProtocolViolation, "did not exit"),
    "dies_with_the_guest_suspended": (HelperCrashed, "SIGKILL"),
    "half_a_message_with_the_guest_suspended": (TimedOut, "'message'"),
    "fails_with_the_guest_suspended": (XenError, "EIO"),
    "dies_while_it_asks": (HelperCrashed, "SIGKILL"),
}


async def outcome(ctx: Context, guest: Guest, helper: str, **fields) -> JobError:
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(
            guest.domid, null.fileno(), LIVE, helper=helper, **fields
        )
        with pytest.raises(JobError) as caught:
            await job
    error = caught.value
    assert "\n" not in str(error)
    assert error.guest is GuestState.RUNNING, error.report()
    return error


@pytest.mark.parametrize("lie", LIES)
async def test_lie_is_told_by_its_name_and_the_guest_runs(
    ctx: Context, pv: Guest, liar, lie: str
):
    kind, word = LIES[lie]
    deadlines = BOUNDS.get(word, DEADLINES)
    error = await outcome(ctx, pv, liar(lie), deadlines=deadlines)
    assert type(error) is kind, error.report()
    assert word in str(error)
    await aside(pv.assert_untouched)


@pytest.mark.parametrize(
    "lie",
    [
        "dies_with_the_guest_suspended",
        "half_a_message_with_the_guest_suspended",
        "fails_with_the_guest_suspended",
        "dies_with_qemu_logging",
    ],
)
async def test_device_model_is_put_right_too(ctx: Context, hvm: Guest, liar, lie: str):
    await outcome(ctx, hvm, liar(lie))
    await aside(hvm.assert_untouched)


async def test_stream_that_does_not_move_is_also_the_callers_deadline(
    ctx: Context, pv: Guest, liar
):
    deadlines = Deadlines(no_progress=0.5, abort_grace=1, term_grace=1)
    error = await outcome(ctx, pv, liar("floods_logs"), deadlines=deadlines)
    assert isinstance(error, TimedOut)
    assert error.deadline == "no_progress"
    await aside(pv.assert_untouched)


async def test_whole_job_is_bounded_too(ctx: Context, pv: Guest, liar):
    deadlines = Deadlines(total=1.0, abort_grace=1, term_grace=1)
    error = await outcome(ctx, pv, liar("silent"), deadlines=deadlines)
    assert isinstance(error, TimedOut)
    assert error.deadline == "total"
    await aside(pv.assert_untouched)


async def test_report_has_what_was_said_on_both_wires(ctx: Context, pv: Guest, liar):
    error = await outcome(ctx, pv, liar("exits_with_a_reason"))
    text = error.report()
    assert "SaveLibxc" in text
    assert "libxl-save-helper: assertion failed" in text
    assert "libxl-save-helper: exit status 255" in text


async def test_long_line_of_its_stderr_is_cut_in_its_middle(
    ctx: Context, pv: Guest, liar
):
    error = await outcome(ctx, pv, liar("exits_with_a_long_reason"))
    [line] = [line for line in error.details.log_lines if " begin x" in line]
    assert line.endswith("x end")
    for told in (line, str(error)):
        assert "x...x" in told
        assert len(told) < 700


async def test_flood_does_not_keep_others_waiting(
    ctx: Context, pv: Guest, hvm: Guest, liar
):
    with Path("/dev/null").open("wb") as null:
        flood = await ctx.domain_suspend(
            pv.domid, null.fileno(), helper=liar("floods_logs")
        )
        async for event in flood.events():
            if isinstance(event, LogEvent):
                break
        await (await ctx.domain_suspend(hvm.domid, null.fileno(), LIVE))
        assert not flood.done()
        await flood.cancel()
    await ctx.domain_resume(hvm.domid)
    await aside(pv.assert_untouched)
    await aside(hvm.assert_untouched)


# ----- aborts -------------------------------------------------------------------------


@pytest.mark.parametrize("lie", ["silent", "deaf", "floods_logs", "half_a_message"])
async def test_cancel_ends_it_whatever_it_does(
    host: Path, pv: Guest, liar, lie: str, nothing_blocks: None
):
    deadlines = Deadlines(abort_grace=0.5, term_grace=0.5)
    async with Context("simxen", host, deadlines) as ctx:
        with Path("/dev/null").open("wb") as null:
            job = await ctx.domain_suspend(
                pv.domid, null.fileno(), LIVE, helper=liar(lie)
            )
            await _phase(job, "libxc")
            assert (await job.cancel()).kind is CancelKind.ACCEPTED
            with pytest.raises(Cancelled) as caught:
                await job
    assert caught.value.guest is GuestState.RUNNING
    await aside(pv.assert_untouched)


async def test_cancel_while_the_guest_is_asked_fails_the_call(
    ctx: Context, pv: Guest, drop_in: str
):
    """No signal is needed: the drop-in would say by its exit status that one came."""
    pv.misbehave("never_ack", once=True)
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), helper=drop_in)
        await _phase(job, "suspend")
        await job.cancel()
        with pytest.raises(Cancelled) as caught:
            await job
    assert "info: libxl-save-helper: exit status 0" in caught.value.details.log_lines
    await aside(pv.assert_untouched)


async def test_guest_that_never_answers_is_named_and_libxc_cleans_up(
    ctx: Context, guest: Guest, drop_in: str
):
    guest.misbehave("never_ack", once=True)
    error = await outcome(ctx, guest, drop_in)
    assert type(error).__name__ == "GuestTimedOut"
    assert "info: libxl-save-helper: exit status 0" in error.details.log_lines
    await aside(guest.assert_untouched)


async def _phase(job, name: str) -> None:
    async for event in job.events():
        if getattr(event, "name", "") == name:
            return


async def test_nobody_is_asked_to_stop_and_copy(ctx: Context, pv: Guest, liar):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(
            pv.domid, null.fileno(), LIVE, helper=liar("silent")
        )
        await _phase(job, "libxc")
        with pytest.raises(NotSupported, match="can't be told to stop and copy"):
            job.stop_and_copy_now()
        with pytest.raises(NotSupported, match="can't be told to stop and copy"):
            job.set_policy(policies.Xen())
        with pytest.raises(UsageError, match="Xen's own helper copies"):
            await ctx.stop_and_copy_job(job.name)
        await job.cancel()
        with pytest.raises(NotSupported, match="can't be told to stop and copy"):
            await ctx.domain_suspend(
                pv.domid,
                null.fileno(),
                LIVE,
                helper=liar("silent"),
                policy=policies.Xen(),
            )


async def test_leaving_the_context_ends_it(
    host: Path, pv: Guest, liar, nothing_blocks: None
):
    with Path("/dev/null").open("wb") as null:
        async with Context("simxen", host, DEADLINES) as ctx:
            job = await ctx.domain_suspend(
                pv.domid, null.fileno(), LIVE, helper=liar("deaf")
            )
            await _phase(job, "libxc")
        assert job.done()
        with pytest.raises(Cancelled):
            await job
    await aside(pv.assert_untouched)
    await asyncio.sleep(0)
