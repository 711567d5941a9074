"""Inside somebody's program: any loop, several of them, its signals and children."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from libxlpy import (
    CancelKind,
    Cancelled,
    Context,
    GuestState,
    HelperCrashed,
    SaveResult,
    SuspendFlags,
)
from libxlpy.jobs.job import Job
from tests.support.guest import PATIENCE, Guest
from tests.support.real_host import QUICK

#: Seconds between two looks of a toolstack for dead children.
LOOK = 0.001
LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module", autouse=True)
def libuv_is_there() -> None:
    """Have libuv make what it makes once in a process: a pipe that it never closes."""
    run("uvloop", lambda: asyncio.sleep(0))


def run(loop: str, main: Callable[[], Any]) -> Any:
    """Run a program on a loop of that kind."""
    factory: Any = LOOPS[loop]
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


async def save_and_resume(host: Path, domid: int) -> SaveResult:
    async with Context("simxen", host, QUICK) as ctx:
        with Path("/dev/null").open("wb") as null:
            job = await ctx.domain_suspend(domid, null.fileno(), SuspendFlags.LIVE)
            events = [event async for event in job.events()]
            result = await job
        assert events
        await ctx.domain_resume(domid)
        return result


# ----- loops ------------------------------------------------------------------------


def test_save_under_uvloop(host: Path, guest: Guest):
    result = run("uvloop", lambda: save_and_resume(host, guest.domid))
    assert result.guest is GuestState.SUSPENDED
    guest.assert_untouched()


def test_restore_under_uvloop(host: Path, guest: Guest, tmp_path: Path):
    async def main() -> None:
        async with Context("simxen", host, QUICK) as ctx:
            config = await ctx.retrieve_config(guest.domid)
            with (tmp_path / "image").open("w+b") as file:
                await (await ctx.domain_suspend(guest.domid, file.fileno()))
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                restored = await (
                    await ctx.domain_restore(
                        file.fileno(), config=config, name=f"{guest.name}-re"
                    )
                )
            assert restored.guest is GuestState.RUNNING
            await ctx.domain_destroy(restored.domid)
            await ctx.domain_resume(guest.domid)

    run("uvloop", main)
    guest.assert_untouched()


@pytest.mark.parametrize("end", ["cancel", "task", "context", "kill"])
def test_bad_ends_under_uvloop(host: Path, guest: Guest, end: str):
    """A save that waits for a reader ends in each way; the guest runs on."""
    reading, writing = os.pipe()

    async def main() -> None:
        async with Context("simxen", host, QUICK) as ctx:
            job = await ctx.domain_suspend(guest.domid, writing, SuspendFlags.LIVE)
            await asyncio.to_thread(os.read, reading, 1)
            if end == "context":
                return
            await ENDS[end](job)

    run("uvloop", main)
    os.close(reading)
    os.close(writing)
    guest.assert_untouched()


async def end_by_cancel(job: Job[SaveResult]) -> None:
    assert (await job.cancel()).kind is CancelKind.ACCEPTED
    with pytest.raises(Cancelled):
        await job


async def end_by_task(job: Job[SaveResult]) -> None:
    async def wait() -> None:
        await job

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert job.done()


async def end_by_kill(job: Job[SaveResult]) -> None:
    assert job.helper_pid is not None
    os.kill(job.helper_pid, signal.SIGKILL)
    with pytest.raises(HelperCrashed) as caught:
        await job
    assert caught.value.signal == signal.SIGKILL


ENDS = {"cancel": end_by_cancel, "task": end_by_task, "kill": end_by_kill}


@pytest.mark.timeout(180)
def test_several_loops_and_contexts_in_one_process(host: Path):
    """Two threads, each with a loop of its kind and two contexts, save at once."""
    results: list[GuestState] = []
    together = threading.Barrier(2, timeout=PATIENCE)

    def program(loop: str) -> None:
        with Guest(host, "pv") as one, Guest(host, "pv") as two:
            together.wait()

            async def main() -> None:
                saves = (save_and_resume(host, each.domid) for each in (one, two))
                results.extend(each.guest for each in await asyncio.gather(*saves))

            run(loop, main)
            one.assert_untouched()
            two.assert_untouched()

    threads = [threading.Thread(target=program, args=(loop,)) for loop in LOOPS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [GuestState.SUSPENDED] * 4


# ----- import -----------------------------------------------------------------------

IMPORT = """
import asyncio, os, signal, sys, threading, warnings, logging

def state():
    return (
        {n: signal.getsignal(n) for n in signal.valid_signals()},
        signal.set_wakeup_fd(-1),
        sorted(os.listdir("/proc/self/fd")),
        sorted(os.listdir("/proc/self/task")),
        open(f"/proc/self/task/{os.getpid()}/children").read(),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        dict(os.environ), os.getcwd(), os.umask(0o22),
        sys.excepthook, threading.excepthook, sys.unraisablehook, tuple(sys.meta_path),
        list(logging.root.handlers), logging.root.level,
        asyncio.get_event_loop_policy().__class__,
    )

os.umask(0o22)
before = state()
import libxlpy, libxlpy.libxl, libxlpy.save_file, libxlpy.streams
after = state()
assert before == after, [pair for pair in zip(before, after) if pair[0] != pair[1]]
"""


def test_import_changes_nothing():
    argv = [sys.executable, "-W", "ignore", "-c", IMPORT]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr


# ----- children ---------------------------------------------------------------------


@pytest.fixture
def sigchld() -> Iterator[Callable[[Any], None]]:
    """Give a function that sets what is done at SIGCHLD; undone at the end."""
    before = signal.getsignal(signal.SIGCHLD)
    yield lambda handler: signal.signal(signal.SIGCHLD, handler)
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("loop", LOOPS)
def test_ignored_sigchld_stays_ignored_and_the_save_works(
    host: Path, guest: Guest, sigchld: Callable[[Any], None], loop: str
):
    sigchld(signal.SIG_IGN)
    result = run(loop, lambda: save_and_resume(host, guest.domid))
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    assert result.guest is GuestState.SUSPENDED
    guest.assert_untouched()


def is_dead(pid: int) -> bool:
    """Tell whether a child has ended; it is left to whoever waits for it."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, options) is not None


@pytest.mark.parametrize("loop", LOOPS)
def test_handler_of_the_program_stays_and_hears_of_its_children(
    host: Path, guest: Guest, sigchld: Callable[[Any], None], loop: str
):
    child: subprocess.Popen[bytes] | None = None
    hears, tells = os.pipe()

    def handler(number: int, frame: object) -> None:
        if child is not None and is_dead(child.pid):
            os.write(tells, b"!")

    sigchld(handler)
    run(loop, lambda: save_and_resume(host, guest.domid))
    assert signal.getsignal(signal.SIGCHLD) is handler
    child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
    with child:
        assert child.stdin is not None
        child.stdin.close()
        assert select.select([hears], [], [], PATIENCE)[0]
        sigchld(signal.SIG_DFL)
    for fd in (hears, tells):
        os.close(fd)
    guest.assert_untouched()


class Reaper:
    """A toolstack's thread that takes the status of every child there is."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._reap)

    def _reap(self) -> None:
        while not self._end.wait(LOOK):
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                continue
            if pid:
                self.taken.add(pid)

    def __enter__(self) -> "Reaper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


async def save_that_is_killed(host: Path, domid: int) -> HelperCrashed:
    reading, writing = os.pipe()
    async with Context("simxen", host, QUICK) as ctx:
        job = await ctx.domain_suspend(domid, writing, SuspendFlags.LIVE)
        await asyncio.to_thread(os.read, reading, 1)
        assert job.helper_pid is not None
        os.kill(job.helper_pid, signal.SIGKILL)
        with pytest.raises(HelperCrashed) as caught:
            await job
    os.close(reading)
    os.close(writing)
    return caught.value


@pytest.mark.parametrize("loop", LOOPS)
def test_helper_reaped_by_somebody_else_is_a_helper_that_ended(
    host: Path, guest: Guest, loop: str
):
    with Reaper() as reaper:
        result = run(loop, lambda: save_and_resume(host, guest.domid))
        crash = run(loop, lambda: save_that_is_killed(host, guest.domid))
    assert result.guest is GuestState.SUSPENDED
    assert crash.guest is GuestState.RUNNING
    if crash.signal is None:  # the reaper was quicker: the status is lost, no more
        assert reaper.taken
        assert crash.status is None
        assert "status unknown" in str(crash)
    guest.assert_untouched()


def test_status_lost_to_an_ignored_sigchld_is_told_as_unknown(
    host: Path, guest: Guest, sigchld: Callable[[Any], None]
):
    sigchld(signal.SIG_IGN)
    crash = run("asyncio", lambda: save_that_is_killed(host, guest.domid))
    assert (crash.signal, crash.status) == (None, None)
    assert "status unknown" in str(crash)
    assert crash.guest is GuestState.RUNNING
    guest.assert_untouched()
