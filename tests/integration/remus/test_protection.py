"""A guest and its backup on two embedded hosts: epochs, acknowledgements, failover."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from libxlpy import (
    BackendError,
    Cancelled,
    Context,
    Deadlines,
    GuestState,
    Job,
    JobError,
    PeerFailed,
    RestoreResult,
    TimedOut,
    UsageError,
)
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.domain.toolstack_simxen import SimxenToolstack
from libxlpy.operations.restore_target import Wanted
from libxlpy.remus.acks import Acks
from libxlpy.remus.backup import Primary, SimxenBackup
from libxlpy.remus.devices import Device
from libxlpy.remus.primary import Protect
from libxlpy.results.of_jobs import RemusResult
from libxlpy.simxen.client import request
from libxlpy_protocol.acks import pack_ack
from tests.support.guest import PATIENCE, Guest, aside
from tests.support.real_host import QUICK

EPOCHS = 5
INTERVAL = 0.01


class Recorder(Device):
    """Writes down what is done to it."""

    name = "recorder"

    def __init__(self) -> None:
        self.done: list[str] = []
        #: Step -> what it raises.
        self.fails: dict[str, Exception] = {}

    async def _do(self, step: str, epoch: int | None = None) -> None:
        self.done.append(step if epoch is None else f"{step} {epoch}")
        if step in self.fails:
            raise self.fails[step]

    async def setup(self) -> None:
        await self._do("setup")

    async def postsuspend(self, epoch: int) -> None:
        await self._do("postsuspend", epoch)

    async def preresume(self, epoch: int) -> None:
        await self._do("preresume", epoch)

    async def commit(self, epoch: int) -> None:
        await self._do("commit", epoch)

    async def teardown(self) -> None:
        await self._do("teardown")


class Pair:
    """A primary and a backup, joined by two socket pairs."""

    def __init__(self, here: Context, there: Context, guest: Guest) -> None:
        self.here, self.there, self.guest = here, there, guest
        self.sends, self.receives = socket.socketpair()
        self.hears, self.says = socket.socketpair()
        self.device = Recorder()
        #: What the backup is told of the primary.
        self.primary = Primary.GONE
        self.protect: Protect
        self.backup: SimxenBackup
        self.protection: Job[RemusResult]
        self.copy: Job[RestoreResult]

    async def fence(self) -> Primary:
        return self.primary

    async def begin_backup(self) -> None:
        env = self.there._env()
        toolstack = toolstack_of(env)
        assert isinstance(toolstack, SimxenToolstack)
        config = await self.here.retrieve_config(self.guest.domid)
        self.backup = SimxenBackup(
            env,
            toolstack,
            Wanted(config=config, name=None),
            Acks(self.says.fileno(), env.deadlines),
            self.fence,
        )
        self.copy = await self.there._jobs.start(self.backup, self.receives.fileno())

    async def begin(self) -> None:
        env = self.here._env()
        self.protect = Protect(
            env,
            self.guest.domid,
            Acks(self.hears.fileno(), env.deadlines),
            interval=INTERVAL,
            devices=[self.device],
        )
        self.protection = await self.here._jobs.start(self.protect, self.sends.fileno())

    async def protected(self, epochs: int = EPOCHS) -> None:
        def there() -> bool:
            assert not self.protection.done(), self.protection.error
            return self.protect.epochs.acknowledged >= epochs

        await until(there)

    def cut(self) -> None:
        """End both connections."""
        for end in (self.sends, self.hears):
            end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self.sends, self.receives, self.hears, self.says):
            end.close()


@pytest.fixture
async def there(other_host: Path) -> AsyncIterator[Context]:
    async with Context(host=other_host, deadlines=QUICK) as ctx:
        yield ctx


@pytest.fixture
async def pair(ctx: Context, there: Context, guest: Guest) -> AsyncIterator[Pair]:
    made = Pair(ctx, there, guest)
    yield made
    made.close()


@pytest.fixture
async def both(pair: Pair) -> Pair:
    """Give a pair whose guest is protected."""
    await pair.begin_backup()
    await pair.begin()
    await pair.protected()
    return pair


def domains(host: Path) -> dict[str, Any]:
    return {each["name"]: each for each in request(host, "list")["domains"]}


def assert_ordered(done: list[str]) -> None:
    """No epoch is committed before it is closed, and each only once, in order."""
    steps = [each.split() for each in done if " " in each]
    for step in ("postsuspend", "preresume", "commit"):
        numbers = [int(number) for name, number in steps if name == step]
        assert numbers == list(range(1, len(numbers) + 1))
    closed = 0
    for name, number in steps:
        if name == "postsuspend":
            closed = int(number)
        if name == "commit":
            assert int(number) <= closed


async def test_protection_that_is_stopped_leaves_the_guest_running_here(
    both: Pair,
) -> None:
    both.primary = Primary.ALIVE
    both.protect.stop()
    result = await both.protection
    assert result.guest is GuestState.RUNNING
    assert result.epoch >= EPOCHS
    await aside(both.guest.assert_untouched)
    assert_ordered(both.device.done)
    assert both.device.done[0] == "setup"
    assert both.device.done[-1] == "teardown"
    both.cut()
    with pytest.raises(PeerFailed, match="its guest runs there"):
        await both.copy
    assert both.guest.name not in await aside(domains, both.backup.env.backend.host)


async def test_backup_goes_on_from_the_last_epoch_it_has_acknowledged(
    both: Pair,
) -> None:
    """Its primary is gone, helper, guest and all."""
    pid = both.protection.helper_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await aside(both.guest.destroy)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(JobError):
        await both.protection
    acknowledged = both.protect.epochs.acknowledged
    both.cut()
    result = await both.copy
    assert result.guest is GuestState.RUNNING
    assert both.backup.held >= acknowledged
    host = both.backup.env.backend.host
    assert (await aside(domains, host))[both.guest.name]["domid"] == result.domid
    assert (await aside(lambda: request(host, "verify", domid=result.domid)))["match"]


async def test_nobody_knows_whether_the_primary_is_gone(both: Pair) -> None:
    """Then both are there, and only one runs."""
    both.primary = Primary.UNKNOWN
    both.cut()
    with pytest.raises(JobError) as here:
        await both.protection
    assert here.value.guest is GuestState.RUNNING
    with pytest.raises(JobError, match="nobody knows") as there:
        await both.copy
    assert there.value.guest is GuestState.PAUSED
    await aside(both.guest.assert_untouched)
    assert_ordered(both.device.done)
    assert both.device.done[-1] == "teardown"


@pytest.mark.parametrize("dies", ["backup", "its helper", "primary's helper"])
async def test_guest_runs_on_here_whoever_dies(both: Pair, dies: str) -> None:
    both.primary = Primary.ALIVE
    job = both.protection if dies == "primary's helper" else both.copy
    assert job.helper_pid is not None
    if dies == "backup":
        await both.copy.cancel()
        both.receives.close()
        both.says.close()
    else:
        os.kill(job.helper_pid, signal.SIGKILL)
        both.cut()
    with pytest.raises(JobError) as caught:
        await both.protection
    assert caught.value.guest is GuestState.RUNNING
    await aside(both.guest.assert_untouched)
    assert_ordered(both.device.done)
    assert both.device.done[-1] == "teardown"
    with pytest.raises(JobError):
        await both.copy
    assert both.guest.name not in await aside(domains, both.backup.env.backend.host)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (pack_ack(2), "acknowledges epoch 2: 1 was the last one sent"),
        (pack_ack(0), "acknowledges epoch 0: it had acknowledged 0 before"),
        (b"my copy is well ", "can't be understood"),
    ],
)
async def test_acknowledgement_that_can_not_be_ends_it_by_name(
    pair: Pair, said: bytes, text: str
) -> None:
    drain = asyncio.create_task(aside(emptied, pair.receives))
    await pair.begin()
    await until(lambda: pair.protect.epochs.closed == 1)
    await aside(pair.says.send, said)
    with pytest.raises(PeerFailed, match=text) as caught:
        await pair.protection
    assert caught.value.guest is GuestState.RUNNING
    await aside(pair.guest.assert_untouched)
    assert "commit 1" not in pair.device.done
    assert pair.device.done[-1] == "teardown"
    pair.cut()
    await drain


async def test_backup_that_acknowledges_nothing_is_gone_within_its_bound(
    ctx: Context, there: Context, guest: Guest
) -> None:
    quick = Deadlines(peer_silent=0.5)
    pair = Pair(ctx, there, guest)
    drain = asyncio.create_task(aside(emptied, pair.receives))
    try:
        ctx._deadlines = quick
        await pair.begin()
        with pytest.raises(TimedOut, match="peer_silent") as caught:
            await pair.protection
        assert caught.value.guest is GuestState.RUNNING
        assert pair.protect.epochs.closed == 1
    finally:
        pair.cut()
        await drain
        pair.close()


@pytest.mark.parametrize("step", ["setup", "postsuspend", "preresume", "commit"])
async def test_device_that_fails_ends_it_with_the_guest_running(
    pair: Pair, step: str
) -> None:
    """And is let go; that it can't be then does not hide what came first."""
    pair.device.fails = {
        step: BackendError("it is broken"),
        "teardown": BackendError("it is still broken"),
    }
    await pair.begin_backup()
    text = "recorder could not [a-z ]*: it is broken"
    with pytest.raises(JobError, match=rf"{text}"):
        await protection(pair)
    assert pair.device.done[-1] == "teardown"
    await aside(pair.guest.assert_untouched)
    pair.primary = Primary.ALIVE
    pair.cut()
    with pytest.raises(JobError):
        await pair.copy


async def test_cancelled_protection_lets_go_what_was_held_back(both: Pair) -> None:
    await both.protection.cancel()
    with pytest.raises(Cancelled) as caught:
        await both.protection
    assert caught.value.guest is GuestState.RUNNING
    assert both.device.done[-1] == "teardown"
    await aside(both.guest.assert_untouched)
    both.primary = Primary.ALIVE
    both.cut()
    with pytest.raises(PeerFailed):
        await both.copy


async def test_guest_that_does_not_run_is_not_protected(
    ctx: Context, there: Context, pv: Guest
) -> None:
    pair = Pair(ctx, there, pv)
    await ctx.domain_pause(pv.domid)
    with pytest.raises(UsageError, match="is paused: what does not run"):
        await pair.begin()
    assert pair.device.done == []
    pair.close()


async def protection(pair: Pair) -> RemusResult:
    await pair.begin()
    return await pair.protection


async def until(there: Callable[[], bool]) -> None:
    """Look until it is."""
    async with asyncio.timeout(PATIENCE):
        while not there():
            await asyncio.sleep(0.005)


def emptied(end: socket.socket) -> None:
    """Read all that comes, and never say that it is held."""
    end.settimeout(PATIENCE)
    while end.recv(1 << 16):
        pass
