"""A guest and its backup on two embedded hosts: epochs, acknowledgements, failover."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import pytest

from libxlpy import (
    BackendError,
    Cancelled,
    Context,
    Deadlines,
    GuestState,
    Job,
    JobError,
    MigrationOpen,
    Outcome,
    PeerFailed,
    Protection,
    ProtectionState,
    RestoreResult,
    StreamError,
    TimedOut,
    UsageError,
)
from libxlpy.migration.announced import announced
from libxlpy.migration.channel import Channel
from libxlpy.migration.control import Control
from libxlpy.remus.backup import Backup, backup
from libxlpy.remus.devices import Device
from libxlpy.remus.fence import FenceExecutable, Lost, Primary
from libxlpy.remus.host import BackupHost
from libxlpy.remus.info import RemusInfo
from libxlpy.remus.primary import Protect
from libxlpy.results.of_jobs import RemusResult
from libxlpy.simxen.client import request
from libxlpy.xenstore import connect
from libxlpy_protocol.messages import Message
from libxlpy_protocol.migration.own import (
    READY_TO_HOLD,
    VERSION,
    Accept,
    GiveUp,
    Held,
    Offer,
    Received,
)
from tests.support.disks import disk_nodes
from tests.support.guest import PATIENCE, Guest, aside
from tests.support.real_host import QUICK
from tests.support.shell import ROOT

DYING = ROOT / "tests/fault/dying_backup.py"
EPOCHS = 5
INTERVAL = 10


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
    """A primary and a backup, joined by two socket pairs: words, and the stream."""

    def __init__(self, here: Context, there: Context, guest: Guest) -> None:
        self.here, self.there, self.guest = here, there, guest
        self.control, self.other_control = socket.socketpair()
        self.sends, self.receives = socket.socketpair()
        self.device = Recorder()
        #: What the backup is told of the primary.
        self.primary = Primary.GONE
        #: Tells it in its place.
        self.executable: FenceExecutable | None = None
        self.protect: Protect
        self.backup: Backup
        self.protection: Protection
        self.copy: Job[RestoreResult]

    async def fence(self, lost: Lost) -> Primary:
        return self.primary if self.executable is None else await self.executable(lost)

    async def connect(self, _landing: str) -> int:
        return self.sends.fileno()

    async def begin(self) -> None:
        """Begin both: each waits for the other's words."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self.begin_backup())
            both.create_task(self.begin_primary())

    async def begin_backup(self) -> None:
        env, fd = self.there._env(), self.other_control.fileno()
        channel, stream = Channel(fd, fd), self.receives.fileno()
        async with announced(
            env, channel, stream, paused=False, monitor=False, held=True
        ) as domain:
            self.backup = backup(env, domain, None, self.fence)
            self.copy = await self.there._jobs.start(self.backup, fd)

    async def begin_primary(self) -> None:
        fd = self.control.fileno()
        self.protection = await self.here.domain_remus_start(
            self.guest.domid,
            RemusInfo(INTERVAL),
            fd,
            fd,
            BackupHost(connect=self.connect),
            devices=[self.device],
        )
        self.protect = self.protection._operation

    async def protected(self, epochs: int = EPOCHS) -> None:
        await self.seen(lambda: self.protect.epochs.acknowledged >= epochs)

    async def seen(self, there: Callable[[], bool]) -> None:
        """Wait until it is, looking whenever the protection has news."""
        async with asyncio.timeout(PATIENCE):
            while not there():
                assert not self.protection.job.done(), self.protection.job.error
                await asyncio.sleep(0.005)

    def cut(self) -> None:
        """End both connections."""
        for end in (self.sends, self.control):
            end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self.sends, self.receives, self.control, self.other_control):
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
    await pair.begin()
    await pair.protected()
    return pair


def domains(host: Path) -> dict[str, Any]:
    return {each["name"]: each for each in request(host, "list")["domains"]}


def assert_ordered(done: list[str]) -> None:
    """Each epoch is committed once it is closed, and before the next one is."""
    steps = [each.split() for each in done if " " in each]
    for step in ("postsuspend", "preresume", "commit"):
        numbers = [int(number) for name, number in steps if name == step]
        assert numbers == list(range(1, len(numbers) + 1))
    closed = committed = 0
    for name, number in steps:
        if name == "postsuspend":
            assert int(number) == committed + 1
            closed = int(number)
        if name == "commit":
            committed = int(number)
            assert committed == closed


@pytest.mark.parametrize(
    ("end", "outcome"),
    [("stop", "stopped"), ("switch_over", "moved"), ("cut", "failed")],
)
async def test_hooks_are_told_how_it_has_ended(
    both: Pair, monkeypatch: pytest.MonkeyPatch, end: str, outcome: str
) -> None:
    async def after(**facts: str) -> list[str]:
        told.append(facts["outcome"])
        return []

    told: list[str] = []
    monkeypatch.setattr(both.protect._hooks, "after", after)
    if end == "cut":
        both.cut()
    else:
        getattr(both.protect, end)()
    with contextlib.suppress(JobError):
        await both.protection
    with contextlib.suppress(JobError):
        await both.copy
    assert told == [outcome]


async def test_protection_that_is_stopped_leaves_the_guest_running_here(
    both: Pair,
) -> None:
    assert both.protection.state is ProtectionState.PROTECTED
    both.protection.stop()
    result = await both.protection
    assert result.guest is GuestState.RUNNING
    assert not result.switched_over
    assert result.epoch >= EPOCHS
    assert both.protection.state is ProtectionState.UNPROTECTED
    await aside(both.guest.assert_untouched)
    assert_ordered(both.device.done)
    assert both.device.done[0] == "setup"
    assert both.device.done[-1] == "teardown"
    with pytest.raises(PeerFailed, match="goes on with its own guest"):
        await both.copy
    assert await aside(domains, both.there.backend.host) == {}


async def test_guest_that_is_switched_over_goes_on_at_the_backup(both: Pair) -> None:
    both.protection.switch_over()
    result = await both.protection
    assert result.guest is GuestState.GONE
    assert result.switched_over
    assert both.protection.state is ProtectionState.SWITCHED_OVER
    figures = both.protection.figures
    assert figures.epoch == result.epoch
    assert 0 < figures.pause.median <= figures.pause.p99
    assert 0 < figures.commit.median <= figures.commit.p99
    assert figures.lag
    copy = await both.copy
    assert copy.guest is GuestState.RUNNING
    assert both.backup.held == both.protect.epochs.closed == result.epoch
    assert_ordered(both.device.done)
    assert both.device.done[-1] == "teardown"
    assert both.device.done[-2] == f"commit {result.epoch}"
    assert await aside(domains, both.here.backend.host) == {}
    await assert_runs_there(both, copy.domid)


async def test_backup_goes_on_from_the_last_epoch_it_has_acknowledged(
    both: Pair,
) -> None:
    """Its primary is gone, helper, guest and all."""
    await lose_primary(both)
    acknowledged = both.protect.epochs.acknowledged
    result = await both.copy
    assert result.guest is GuestState.RUNNING
    assert both.backup.held >= acknowledged
    await assert_runs_there(both, result.domid)


async def test_silent_primary_is_gone_though_nothing_has_ended(
    ctx: Context, there: Context, guest: Guest
) -> None:
    """Its host is off: no connection says so."""
    there._deadlines = QUICK.replace(peer_silent=2.5)
    pair = Pair(ctx, there, guest)
    try:
        await pair.begin()
        await pair.protected()
        await lose_primary(pair, cut=False)
        result = await pair.copy
        assert result.guest is GuestState.RUNNING
        await assert_runs_there(pair, result.domid)
    finally:
        pair.close()


async def test_fence_that_hangs_is_told_with_what_it_has_said(
    pair: Pair, tmp_path: Path
) -> None:
    path = tmp_path / "fence"
    await aside(write_hanging, path)
    deadlines = pair.there._deadlines = QUICK.replace(fence=2.0)
    pair.executable = FenceExecutable(path, deadlines=deadlines)
    await pair.begin()
    await pair.protected()
    await lose_primary(pair)
    with pytest.raises(MigrationOpen, match="fence of 2 s passed: asking the switch"):
        await pair.copy


def write_hanging(path: Path) -> None:
    path.write_text("#!/bin/sh\necho asking the switch >&2\nsleep 1000\n")
    path.chmod(0o755)


async def test_nobody_knows_whether_the_primary_is_gone(both: Pair) -> None:
    """Then both are there, and only one runs."""
    both.primary = Primary.UNKNOWN
    both.cut()
    with pytest.raises(JobError) as here:
        await both.protection
    assert here.value.guest is GuestState.RUNNING
    with pytest.raises(MigrationOpen, match="nobody knows") as there:
        await both.copy
    assert there.value.guest is GuestState.PAUSED
    await aside(both.guest.assert_untouched)
    assert_ordered(both.device.done)
    assert both.device.done[-1] == "teardown"


@pytest.mark.parametrize("dies", ["backup", "its helper", "primary's helper"])
async def test_guest_runs_on_here_whoever_dies(both: Pair, dies: str) -> None:
    """No fence is asked: who is left hears it from the other."""
    both.primary = Primary.UNKNOWN
    job = both.protection.job if dies == "primary's helper" else both.copy
    assert job.helper_pid is not None
    if dies == "backup":
        await both.copy.cancel()
    else:
        os.kill(job.helper_pid, signal.SIGKILL)
    with pytest.raises(JobError) as caught:
        await both.protection
    assert caught.value.guest is GuestState.RUNNING
    await aside(both.guest.assert_untouched)
    assert_ordered(both.device.done)
    assert both.device.done[-1] == "teardown"
    with pytest.raises(JobError) as there:
        await both.copy
    assert there.value.guest is GuestState.GONE
    assert await aside(domains, both.there.backend.host) == {}


async def test_backup_that_is_killed_leaves_what_recover_removes(pair: Pair) -> None:
    """With its helper, and half an epoch: the guest runs on, and only here."""
    ends = pair.other_control.fileno(), pair.receives.fileno()
    host = pair.there.backend.host
    words = [sys.executable, str(DYING), str(host), *map(str, (*ends, EPOCHS))]
    backup = await asyncio.create_subprocess_exec(*words, pass_fds=ends, cwd=ROOT)
    pair.other_control.close()
    pair.receives.close()
    await pair.begin_primary()
    assert await backup.wait() == -signal.SIGKILL
    with pytest.raises(JobError) as caught:
        await pair.protection
    assert caught.value.guest is GuestState.RUNNING
    await aside(pair.guest.assert_untouched)
    [found] = await pair.there.recover()
    assert (found.kind, found.outcome) == ("backup", Outcome.ROLLED_BACK)
    assert await aside(domains, host) == {}


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (Held(2), "acknowledges epoch 2: 1 was the last one sent"),
        (Held(0), "acknowledges epoch 0: it had acknowledged 0 before"),
        (Received(), "did not say which epoch it holds: it said Received"),
        (GiveUp("no disk is left"), "has given up: no disk is left"),
    ],
)
async def test_what_a_backup_can_not_say_ends_it_by_name(
    pair: Pair, said: Message, text: str
) -> None:
    async with Liar.of(pair) as liar:
        await pair.seen(lambda: pair.protect.epochs.closed == 1)
        await liar.say(said)
        with pytest.raises(PeerFailed, match=text) as caught:
            await pair.protection
    assert caught.value.guest is GuestState.RUNNING
    await aside(pair.guest.assert_untouched)
    assert "commit 1" not in pair.device.done
    assert pair.device.done[-1] == "teardown"


async def test_backup_that_acknowledges_nothing_is_gone_within_its_bound(
    ctx: Context, there: Context, guest: Guest
) -> None:
    """It gives signs of life, and that is all."""
    ctx._deadlines = Deadlines(peer_silent=2.5)
    pair = Pair(ctx, there, guest)
    try:
        async with Liar.of(pair):
            with pytest.raises(TimedOut, match="peer_silent") as caught:
                await pair.protection
        assert caught.value.guest is GuestState.RUNNING
        assert pair.protect.epochs.closed == 1
    finally:
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
    text = "recorder could not [a-z ]*: it is broken"
    backup = asyncio.create_task(pair.begin_backup())
    with pytest.raises(JobError, match=rf"{text}"):
        await protected_to_the_end(pair)
    assert pair.device.done[-1] == "teardown"
    await aside(pair.guest.assert_untouched)
    with pytest.raises((PeerFailed, StreamError)):  # the stream may end first
        await held_to_the_end(pair, backup)
    assert await aside(domains, pair.there.backend.host) == {}


async def test_cancelled_protection_lets_go_what_was_held_back(both: Pair) -> None:
    await both.protection.job.cancel()
    with pytest.raises(Cancelled) as caught:
        await both.protection
    assert caught.value.guest is GuestState.RUNNING
    assert both.device.done[-1] == "teardown"
    await aside(both.guest.assert_untouched)
    with pytest.raises(PeerFailed, match="goes on with its own guest"):
        await both.copy


async def test_guest_that_does_not_run_is_not_protected(
    ctx: Context, there: Context, pv: Guest
) -> None:
    pair = Pair(ctx, there, pv)
    await ctx.domain_pause(pv.domid)
    with pytest.raises(UsageError, match="is paused: what does not run"):
        await pair.begin_primary()
    assert pair.device.done == []
    pair.close()


async def test_guest_whose_disk_is_written_is_not_protected(
    ctx: Context, there: Context, pv: Guest
) -> None:
    """Nothing is said to the backup."""
    pair = Pair(ctx, there, pv)
    socket_path = ctx.backend.xenstore_socket
    async with connect(socket_path, timeout=PATIENCE) as store:
        for path, value in disk_nodes(pv.domid, "/dev/vg/web").items():
            await store.write(path, value.encode())
    with pytest.raises(UsageError, match=r"has disk xvda \(/dev/vg/web\)"):
        await pair.begin_primary()
    assert pair.device.done == []
    pair.control.shutdown(socket.SHUT_RDWR)
    assert await aside(pair.other_control.recv, 1) == b""
    pair.close()


async def protected_to_the_end(pair: Pair) -> RemusResult:
    await pair.begin_primary()
    return await pair.protection


async def held_to_the_end(pair: Pair, begins: "asyncio.Task[None]") -> RestoreResult:
    await begins
    return await pair.copy


class Liar:
    """A backup that takes what comes, and says what a test has it say."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        fd = pair.other_control.fileno()
        self._channel = Channel(fd, fd)
        self._control: Control

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, pair: Pair) -> AsyncIterator[Self]:
        """Give one that has accepted what a pair's primary offers."""
        liar = cls(pair)
        drain = asyncio.create_task(aside(emptied, pair.receives))
        begins = asyncio.create_task(pair.begin_primary())
        await liar._channel.say(READY_TO_HOLD, "peer_answer", PATIENCE)
        liar._control = Control(liar._channel, QUICK)
        await liar._control.hear_one(Offer, failed="did not offer")
        await liar.say(Accept(VERSION, "test", ""))
        await begins
        try:
            yield liar
        finally:
            await liar._control.close()
            pair.cut()
            await drain

    async def say(self, message: Message) -> None:
        await self._control.say(message)


async def lose_primary(pair: Pair, *, cut: bool = True) -> None:
    """Have its host gone: guest and helper at once, without a word to the backup."""
    pid = pair.protection.job.helper_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await aside(pair.guest.destroy)
    await pair.protect._talk.close()
    if cut:
        pair.cut()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(JobError):
        await pair.protection


async def assert_runs_there(pair: Pair, domid: int) -> None:
    """Only the copy is there, under its own name, with what the guest had."""
    host = pair.there.backend.host
    found = await aside(domains, host)
    assert [*found] == [pair.guest.name]
    assert found[pair.guest.name]["domid"] == domid
    assert (await aside(lambda: request(host, "verify", domid=domid)))["match"]


def emptied(end: socket.socket) -> None:
    """Read all that comes, and never say that it is held."""
    end.settimeout(PATIENCE)
    while end.recv(1 << 16):
        pass
