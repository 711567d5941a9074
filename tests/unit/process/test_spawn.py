"""An exec that hangs, a process that does not end: neither keeps anybody waiting.

Both are real: the kernel holds an exec while another process has a lease on the
program, and a traced process at the end of its life whatever signal it gets.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.errors import BackendError, Cancelled, TimedOut
from libxlpy.events import StatEvent
from libxlpy.jobs.job import Job
from libxlpy.process.environment import (
    Environment,
    HypercallHelpers,
    start_ops_helper,
)
from libxlpy.process.helper import start_process
from libxlpy.process.proc import frames, kernel_place, state_of
from libxlpy.results.report import JobReport
from tests.support.scripted_jobs import FakeOperation, StartJob, Turns

pytestmark = pytest.mark.usefixtures("nothing_blocks")

HERE = Path(__file__).parent
PATIENCE = 20.0


class Hold:
    """Runs the programs that hold others."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def __call__(self, holder: str, what: str) -> None:
        """Have something held."""
        argv = [sys.executable, str(HERE / holder), what]
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        self._running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() in {"held\n", "traced\n"}

    def let_go(self) -> None:
        """End all of them."""
        while self._running:
            self._running.pop().communicate()


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Give what holds; it lets go at the end."""
    holding = Hold()
    yield holding
    holding.let_go()


@pytest.fixture
def program(tmp_path: Path, hold: Hold) -> str:
    """A program whose exec hangs."""
    path = tmp_path / "helper"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    hold("lease_holder.py", str(path))
    return str(path)


def keepers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "libxlpy spawn"]


async def all_reaped() -> None:
    """Wait until no process has to be kept any more; each was reaped before."""
    for thread in keepers():
        await asyncio.to_thread(thread.join, PATIENCE)
    assert keepers() == []


# ----- an exec that hangs -------------------------------------------------------------


async def test_exec_that_hangs_ends_the_job_and_not_the_loop(
    start_job: StartJob, program: str
):
    with Turns() as turns:
        job = start_job("good", argv=lambda backend: [program], spawn=0.3)
        with pytest.raises(TimedOut) as caught:
            await job
    assert turns.number > 100, "nothing else had a turn"
    assert (caught.value.deadline, caught.value.seconds) == ("spawn", 0.3)
    assert caught.value.repairs == ("looked",)
    assert job.helper_pid is None
    await all_reaped()


async def test_exec_that_hangs_is_no_helper_for_hypercalls(
    backend: Backend, program: str
):
    env = Environment(
        backend,
        Deadlines(spawn=0.3),
        HypercallHelpers(),
        argv=lambda backend: [program],
    )
    with pytest.raises(BackendError, match=r"helper did not start in 0\.3 s"):
        await start_ops_helper(env)
    await all_reaped()


async def test_cancelled_while_its_helper_is_spawned(start_job: StartJob, program: str):
    operation = FakeOperation()
    job = start_job("good", operation, argv=lambda backend: [program], spawn=0.5)
    await asyncio.sleep(0)
    job.request_cancel("enough")
    with pytest.raises(Cancelled, match="enough"):
        await job
    assert operation.settled == [False]
    await all_reaped()


async def test_program_that_can_be_run_at_last_is_still_told_to_leave(
    start_job: StartJob, program: str, hold: Hold
):
    """The cancel came while it was spawned; then its exec goes on."""
    operation = FakeOperation()
    job = start_job("good", operation, argv=lambda backend: [program], spawn=PATIENCE)
    await asyncio.sleep(0)
    job.request_cancel("enough")
    await asyncio.to_thread(hold.let_go)
    with pytest.raises(Cancelled, match="enough"):
        await job
    assert job.helper_pid is not None
    await all_reaped()


async def test_process_whose_starter_is_cancelled_is_killed(program: str):
    starting = asyncio.create_task(start_process([program], (), PATIENCE))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await all_reaped()


async def test_thread_lasts_as_long_as_its_process():
    """Else the process would be told that its parent has died."""
    process = await start_process(["/bin/cat"], (), PATIENCE)
    assert len(keepers()) == 1
    process.hang_up()
    assert (await process.wait()).status == 0
    process.close()
    await all_reaped()


# ----- a process that does not end ----------------------------------------------------


async def stuck(start_job: StartJob, hold: Hold) -> tuple[Job[JobReport], int]:
    """Give a job whose helper is held, and its pid."""
    job = start_job("deaf", kill_grace=0.3)
    async for event in job.events():
        if isinstance(event, StatEvent):
            break
    assert job.helper_pid is not None
    pid = job.helper_pid
    await asyncio.to_thread(hold, "tracer.py", str(pid))
    return job, pid


async def test_helper_that_does_not_end_is_told_with_its_place_in_the_kernel(
    start_job: StartJob, hold: Hold
):
    job, pid = await stuck(start_job, hold)
    await job.cancel()
    with pytest.raises(Cancelled) as caught:
        await job
    details = caught.value.details
    place = f"unkillable: thread {pid} in state t at ptrace_stop"
    assert details.exit_status.startswith(place)
    assert "do_exit" in details.exit_status  # the stack: the tests run as root
    assert f"helper: {place}" in caught.value.report()
    assert [text.rpartition(": ")[2] for text in details.later_errors] == [
        "TERM",
        "KILL",
        "STUCK",
    ]
    pidfd = os.pidfd_open(pid)
    assert os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    assert len(keepers()) == 1
    await asyncio.to_thread(hold.let_go)
    await all_reaped()
    with pytest.raises(ChildProcessError):  # no zombie
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    os.close(pidfd)


async def test_process_that_has_ended_says_how():
    process = await start_process(["/bin/false"], (), PATIENCE)
    await process.wait()
    assert await process.place() == "exit status 1"
    process.close()
    await all_reaped()


def test_places_are_read_from_what_the_kernel_writes():
    stat = "77 (a) b (c) D 1 77 77 0 -1 4194560 0"
    stack = "[<0>] rpc_wait_bit_killable+0x1e/0xb0\n[<0>] __x64_sys_write+0x1/0x2\n"
    assert state_of(stat) == "D"
    assert frames(stack) == ["rpc_wait_bit_killable", "__x64_sys_write"]
    assert (state_of(""), frames("")) == ("", [])
    assert kernel_place(os.getpid()).startswith(f"thread {os.getpid()} in state ")
