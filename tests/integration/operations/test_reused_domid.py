"""A guest that ends while a job is at it, and whose domid another guest gets."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from libxlpy import (
    Context,
    Deadlines,
    DomainReused,
    GuestFailed,
    GuestState,
    HelperCrashed,
    JobError,
    SaveCallbacks,
    SuspendFlags,
)
from libxlpy.cli.main import main
from libxlpy.save_file import SaveFile
from libxlpy.xenstore import Xenstore
from tests.support.failing import outcome, until_full
from tests.support.guest import Guest, aside, until_asked
from tests.support.successor import Successor

LIVE = SuspendFlags.LIVE
PATIENT = Deadlines(suspend_ack=60.0)
LEFT_ALONE = "is another domain now: left alone"


def assert_left_alone(error: JobError, successor: Successor) -> None:
    assert error.guest is GuestState.GONE
    assert any(LEFT_ALONE in fact for fact in error.repairs)
    assert not any("FAILED" in fact for fact in error.repairs)
    successor.assert_left_alone()


async def test_while_the_answer_is_waited_for(ctx: Context, guest: Guest):
    guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(
            guest.domid, null.fileno(), LIVE, deadlines=PATIENT
        )
        await aside(until_asked, guest)
        with Successor(guest) as successor:
            error = await outcome(job)
            assert isinstance(error, GuestFailed)
            assert error.reason == "gone"
            await aside(assert_left_alone, error, successor)


async def test_between_the_look_and_the_request(
    ctx: Context, pv: Guest, monkeypatch: pytest.MonkeyPatch
):
    """What is written is written in a transaction that has seen whose node it is."""
    made: list[asyncio.Task[Successor]] = []
    write = Xenstore.write

    async def write_late(store: Xenstore, path: str, *arguments, **named) -> None:
        if not made:
            made.append(asyncio.create_task(aside(Successor, pv)))
        await asyncio.shield(made[0])
        await write(store, path, *arguments, **named)

    monkeypatch.setattr(Xenstore, "write", write_late)
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(pv.domid, null.fileno(), LIVE))
    with await made[0] as successor:
        assert isinstance(error, GuestFailed)
        await aside(assert_left_alone, error, successor)


async def test_in_the_middle_of_the_copy(ctx: Context, guest: Guest, full_pipe: int):
    job = await ctx.domain_suspend(guest.domid, full_pipe, LIVE)
    await aside(until_full, full_pipe)
    with Successor(guest) as successor:
        error = await outcome(job)
        assert isinstance(error, GuestFailed)
        await aside(assert_left_alone, error, successor)


async def test_in_the_middle_of_the_copy_with_the_helper_killed(
    ctx: Context, guest: Guest, full_pipe: int
):
    job = await ctx.domain_suspend(guest.domid, full_pipe, LIVE)
    await aside(until_full, full_pipe)
    assert job.helper_pid is not None
    os.kill(job.helper_pid, signal.SIGSTOP)  # it would see it by itself
    with Successor(guest) as successor:
        os.kill(job.helper_pid, signal.SIGKILL)
        error = await outcome(job)
        assert isinstance(error, HelperCrashed)
        await aside(assert_left_alone, error, successor)


async def test_in_the_middle_of_a_copy_of_the_callers(
    ctx: Context, pv: Guest, full_pipe: int
):
    async def suspend() -> int:
        raise AssertionError("another domain is to be suspended")

    callbacks = SaveCallbacks(suspend=suspend)
    job = await ctx.xc_domain_save(pv.domid, full_pipe, callbacks, LIVE)
    await aside(until_full, full_pipe)
    with Successor(pv) as successor:
        error = await outcome(job)
        assert isinstance(error, GuestFailed)
        await aside(assert_left_alone, error, successor)


@pytest.mark.parametrize("act", ["destroy", "resume", "pause", "unpause"])
async def test_after_the_save_nothing_is_done_to_another(
    ctx: Context, guest: Guest, act: str
):
    [info] = [each for each in await ctx.list_domains() if each.domid == guest.domid]
    with Path("/dev/null").open("wb") as null:
        await (await ctx.domain_suspend(guest.domid, null.fileno()))
    with Successor(guest) as successor:
        with pytest.raises(DomainReused, match=LEFT_ALONE):
            await getattr(ctx, f"domain_{act}")(guest.domid, uuid=info.uuid)
        await aside(successor.assert_left_alone)


@pytest.mark.parametrize(
    ("option", "status", "said"),
    [([], 0, "had ended by itself"), (["-c"], 1, "but to resume it"), (["-p"], 1, "")],
)
def test_command_does_not_end_another_after_its_save(
    host: Path,
    pv: Guest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    option: list[str],
    status: int,
    said: str,
):
    made: list[Successor] = []
    commit = SaveFile.commit

    def commit_late(file: SaveFile) -> None:
        commit(file)
        made.append(Successor(pv))

    monkeypatch.setattr(SaveFile, "commit", commit_late)
    image = tmp_path / "image"
    command = ["--backend", "simxen", "--host", str(host), "save", *option, pv.name]
    assert main([*command, str(image)]) == status
    with made[0]:
        made[0].assert_left_alone()
        assert image.stat().st_size
        stderr = capfd.readouterr().err
        assert LEFT_ALONE in stderr
        assert said in stderr
