"""The helper, or the toolstack itself, is killed at each kind of message of a save."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from libxlpy import (
    Context,
    GuestState,
    HelperCrashed,
    JobError,
    SaveResult,
    SuspendFlags,
)
from libxlpy.journal import Folder
from libxlpy_protocol.messages import Message, Release, SaveLibxc
from tests.integration.operations.libxl_engine.conftest import DEADLINES
from tests.support.guest import PATIENCE, Guest
from tests.support.processes import living_descendants

TOOLSTACK = Path(__file__).with_name("toolstack.py")
long = pytest.mark.timeout(300)


class Watcher:
    """Lists what passes once Xen's helper is asked for, strikes at one message."""

    def __init__(self, at: int, strike: Callable[[int], None]) -> None:
        self.at = at
        self.strike = strike
        self.trace: list[str] = []
        self.struck = ""
        self.counting = False

    def __call__(self, direction: str, message: Message) -> None:
        if self.counting and not self.struck:
            name = f"{direction}{type(message).__name__}"
            if len(self.trace) == self.at:
                self.struck = name
                self.strike(libxl_helper())
            self.trace.append(name)
        starts = isinstance(message, SaveLibxc)
        self.counting = (self.counting or starts) and not isinstance(message, Release)


def libxl_helper() -> int:
    """Give the pid of our only child that was started as libxl starts one; 0: none."""
    for process in psutil.Process().children():
        try:
            if "--save-domain" in process.cmdline():
                return process.pid
        except psutil.NoSuchProcess:
            continue
    return 0


def save(guest: Guest, helper: str, watcher: Watcher) -> SaveResult | JobError:
    async def run() -> SaveResult | JobError:
        async with Context("simxen", guest.host, DEADLINES, helper) as ctx:
            ctx._observer = watcher
            with Path("/dev/null").open("wb") as null:
                job = await ctx.domain_suspend(
                    guest.domid, null.fileno(), SuspendFlags.LIVE
                )
                try:
                    result = await job
                except JobError as exc:
                    return exc
            await ctx.domain_resume(guest.domid)
            return result

    return asyncio.run(run())


def first_of_each(trace: list[str]) -> list[int]:
    return sorted({trace.index(name) for name in trace})


def kill(number: int) -> Callable[[int], None]:
    def strike(pid: int) -> None:
        if pid:
            os.kill(pid, number)

    return strike


@long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_helper_killed_at_each_kind_of_message(guest: Guest, drop_in: str, number: int):
    watcher = Watcher(-1, lambda pid: None)
    assert isinstance(save(guest, drop_in, watcher), SaveResult)
    trace = watcher.trace
    wanted = {"<Log", "<Progress", "<Suspend", ">Answer", "<Complete"}
    assert wanted <= set(trace)
    for at in first_of_each(trace):
        watcher = Watcher(at, kill(number))
        outcome = save(guest, drop_in, watcher)
        context = f"{watcher.struck} ({at}): {outcome}"
        guest.assert_untouched()
        if isinstance(outcome, JobError):
            assert outcome.guest is GuestState.RUNNING, context
            if number == signal.SIGKILL:
                assert isinstance(outcome, HelperCrashed), context


@long
def test_toolstack_killed_at_each_kind_of_message(guest: Guest, drop_in: str):
    watcher = Watcher(-1, lambda pid: None)
    assert isinstance(save(guest, drop_in, watcher), SaveResult)
    for at in first_of_each(watcher.trace):
        before = {process.pid for process in living_descendants()}
        words = [str(guest.host), str(guest.domid), drop_in, str(at)]
        done = subprocess.run(
            [sys.executable, str(TOOLSTACK), *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        # Both helpers are our children now, and leave by themselves.
        orphans = [each for each in living_descendants() if each.pid not in before]
        _, alive = psutil.wait_procs(orphans, timeout=PATIENCE)
        assert not alive, f"{done.stdout} ({at}): {alive}"
        guest.assert_untouched()
        with Folder(guest.host / "jobs").lock(guest.domid) as lock:
            lock.forget()  # the host is for others, too
