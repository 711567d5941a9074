"""A guest protected from dom0 to the same dom0: both ends in this process."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from libxlpy import Context, Deadlines, Job
from libxlpy.migration.announced import announced
from libxlpy.migration.channel import Channel
from libxlpy.remus.backup import Backup, backup
from libxlpy.remus.fence import Lost, Primary
from libxlpy.remus.host import BackupHost
from libxlpy.remus.info import RemusInfo
from libxlpy.remus.primary import Protect
from libxlpy.results.of_jobs import RemusResult, RestoreResult

from .migrating import known
from .support import PATIENCE, Guest, ok

#: The machine is emulated, and slow.
SLOW = Deadlines(
    suspend_ack=PATIENCE,
    suspend=PATIENCE,
    qemu=PATIENCE,
    peer_silent=PATIENCE,
    peer_answer=PATIENCE,
)
INFO = RemusInfo(200)


class Pair:
    """A primary and a backup, joined by two socket pairs: words, and the stream."""

    def __init__(self, ctx: Context, guest: Guest) -> None:
        self.ctx, self.guest = ctx, guest
        self.domid = known()[guest.name].domid
        self.control, self.other_control = socket.socketpair()
        self.sends, self.receives = socket.socketpair()
        self.protect: Protect
        self.backup: Backup
        self.protection: Job[RemusResult]
        self.copy: Job[RestoreResult]

    async def fence(self, lost: Lost) -> Primary:
        """Have the guest not run where it ran."""
        await asyncio.to_thread(ok, "xl", "destroy", str(self.domid))
        return Primary.GONE

    async def connect(self, _landing: str) -> int:
        return self.sends.fileno()

    async def begin(self) -> None:
        """Begin both: each waits for the other's words."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._begin_backup())
            both.create_task(self._begin_primary())

    async def _begin_backup(self) -> None:
        env, fd = self.ctx._env(), self.other_control.fileno()
        channel, stream = Channel(fd, fd), self.receives.fileno()
        async with announced(
            env, channel, stream, paused=False, monitor=False, held=True
        ) as domain:
            self.backup = backup(env, domain, None, self.fence)
            self.copy = await self.ctx._jobs.start(self.backup, fd)

    async def _begin_primary(self) -> None:
        env, fd = self.ctx._env(), self.control.fileno()
        channel, host = Channel(fd, fd), BackupHost(connect=self.connect)
        self.protect = Protect(env, self.domid, channel, INFO, host)
        self.protection = await self.ctx._jobs.start(self.protect, fd)

    async def protected(self, epochs: int) -> None:
        """Wait until so many epochs more are acknowledged."""
        wanted = self.protect.epochs.acknowledged + epochs
        await self.seen(lambda: self.protect.epochs.acknowledged >= wanted)

    def jobs(self) -> tuple[Job[Any], ...]:
        return self.protection, self.copy

    async def seen(self, there: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not there():
                for job in self.jobs():
                    assert not job.done(), job.error and job.error.details
                await asyncio.sleep(0.05)

    def cut(self) -> None:
        """End both connections."""
        for end in (self.sends, self.control):
            end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self.sends, self.receives, self.control, self.other_control):
            end.close()
