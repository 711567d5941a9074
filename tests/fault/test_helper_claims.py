"""The helper claims success and lies: what the save has done is looked at."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy import Context
from libxlpy.aio import aside
from libxlpy.errors import ProtocolViolation
from libxlpy.jobs.operation import Operation
from libxlpy.operations.save import NOT_COUNTED
from libxlpy.results.report import GuestState, ImageState
from tests.fault.sweep import DEADLINES, live_save
from tests.support.libxl_helpers import liar_program
from tests.support.loop_device import device
from tests.support.victim import Victim

__all__ = ["device"]

MISLED = Path(__file__).with_name("misled_helper.py")
IDLE = Path(__file__).with_name("idle_helper.py")
OLD = b"a good old file"


async def check_refuted(ctx: Context, victim: Victim, path: Path, match: str) -> None:
    path.write_bytes(OLD)
    outcome = await live_save(ctx, victim, path)
    assert isinstance(outcome, ProtocolViolation), outcome
    assert match in str(outcome)
    assert outcome.guest is GuestState.RUNNING
    assert outcome.image is not ImageState.COMPLETE
    assert path.read_bytes() == OLD
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert victim.trouble() == ""


@pytest.mark.parametrize("at", ["Phase", "Suspend"])
async def test_what_it_has_not_written_is_missed(
    victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Nothing, or not what it had to write while the guest was suspended."""
    mislead(monkeypatch, at)
    async with Context("simxen", victim.directory, DEADLINES) as ctx:
        await check_refuted(ctx, victim, tmp_path / "image", "the stream is whole, but")


@pytest.mark.parametrize("at", ["Phase", "Suspend"])
async def test_what_it_has_not_written_to_a_device_is_missed(
    pv_victim: Victim, device: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Behind what the caller has put there; and what lies there is not taken for it."""
    mislead(monkeypatch, at)
    async with Context("simxen", pv_victim.directory, DEADLINES) as ctx:
        with device.open("r+b", buffering=0) as file:
            file.write(b"head of the caller's")
            job = await ctx.domain_suspend(pv_victim.domid, file.fileno())
            with pytest.raises(ProtocolViolation, match="the stream is whole, but"):
                await job
            assert job.error is not None
            assert job.error.guest is GuestState.RUNNING
    assert pv_victim.trouble() == ""


def mislead(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Have a helper's stream lead nowhere from one of its messages on."""
    real = Operation.argv

    def argv(operation: Operation[object]) -> list[str]:
        own = real(operation)
        return [sys.executable, "-I", str(MISLED), at, *own[own.index("-m") + 2 :]]

    monkeypatch.setattr(Operation, "argv", argv)


@pytest.mark.parametrize(
    ("lie", "match"),
    [
        ("claims_what_it_never_asked_for", "never had suspended"),
        ("claims_what_it_never_wrote", "the stream is whole, but"),
        ("claims_what_it_wrote_half", "the stream is whole, but"),
    ],
)
async def test_xens_helper_is_not_believed_either(
    pv_victim: Victim,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    lie: str,
    match: str,
) -> None:
    helper = liar_program(tmp_path_factory.mktemp("liar") / "helper", lie)
    async with Context("simxen", pv_victim.directory, DEADLINES, helper=helper) as ctx:
        await check_refuted(ctx, pv_victim, tmp_path / "image", match)


# ----- into a pipe, which nobody can read again -------------------------------------


@pytest.fixture
def pipe_fd() -> Iterator[int]:
    """Give a pipe's end to write to; what is written stays in it."""
    reading, writing = os.pipe()
    yield writing
    os.close(reading)
    os.close(writing)


async def check_missed(ctx: Context, victim: Victim, pipe_fd: int) -> None:
    job = await ctx.domain_suspend(victim.domid, pipe_fd)
    with pytest.raises(ProtocolViolation, match=r"but wrote \d+ bytes where") as failed:
        await job
    assert failed.value.guest is GuestState.RUNNING
    assert failed.value.image is not ImageState.COMPLETE
    victim.assert_unharmed("an idle helper")


async def test_what_no_pipe_has_got_is_missed(
    victim: Victim, pipe_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Operation.argv

    def argv(operation: Operation[object]) -> list[str]:
        own = real(operation)
        return [sys.executable, "-I", str(IDLE), *own[own.index("-m") + 2 :]]

    monkeypatch.setattr(Operation, "argv", argv)
    async with Context("simxen", victim.directory, DEADLINES) as ctx:
        await check_missed(ctx, victim, pipe_fd)


@pytest.mark.parametrize(
    "lie", ["claims_what_it_never_wrote", "claims_what_it_wrote_half"]
)
async def test_nor_is_xens_helper_believed_about_a_pipe(
    pv_victim: Victim,
    pipe_fd: int,
    tmp_path_factory: pytest.TempPathFactory,
    lie: str,
) -> None:
    helper = liar_program(tmp_path_factory.mktemp("liar") / "helper", lie)
    async with Context("simxen", pv_victim.directory, DEADLINES, helper=helper) as ctx:
        await check_missed(ctx, pv_victim, pipe_fd)


async def test_a_pipe_that_nobody_counts_is_told(
    pv_victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another user than root may not see the helper's I/O."""
    monkeypatch.setattr("libxlpy.process.counts.io_of", lambda pid: None)
    reader, fd = os.pipe()
    drained = threading.Thread(target=drain, args=(reader,))
    drained.start()
    async with Context("simxen", pv_victim.directory, DEADLINES) as ctx:
        job = await ctx.domain_suspend(pv_victim.domid, fd)
        result = await job
        os.close(fd)
        await ctx.domain_resume(pv_victim.domid)
    await aside(drained.join, 10.0)
    os.close(reader)
    assert any(NOT_COUNTED in line for line in result.report.log_lines)


def drain(fd: int) -> None:
    while os.read(fd, 1 << 20):
        pass
