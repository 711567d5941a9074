"""Hold the copy of a protected guest, and take over once its primary is gone.

The stream never ends by itself: each epoch that is whole is held and acknowledged.
When it has ended, or the primary has, the copy is what the guest was at the end of the
last of them; what then becomes of it, see ``succession``.
"""

import asyncio
import os
from contextlib import suppress

from libxlpy.callbacks import AnswerTo
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.domain.toolstack_xen import XenToolstack
from libxlpy.errors import JobError, NotSupported
from libxlpy.jobs.operation import Run
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.migration.announced import Announced
from libxlpy.migration.hooks import Hooks, MigrationHooks
from libxlpy.migration.receive import Receive, XenReceive
from libxlpy.migration.talk import OwnTalk
from libxlpy.operations.restore_simxen import SimxenRestore
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.remus.acks import SpokenAcks, WrittenAcks
from libxlpy.remus.fence import Fence
from libxlpy.remus.succession import Succession
from libxlpy.results.report import Kind, Settled
from libxlpy_protocol.enums import StreamType
from libxlpy_protocol.messages import CallMessage, Checkpoint, FailOver, Start

#: Answer to libxenguest.
GO_ON = 1
NO_FD = -1


def backup(
    env: Environment, domain: Announced, hooks: MigrationHooks | None, fence: Fence
) -> "Backup":
    """Give the operation that holds the copy of a domain.

    Args:
        env: Backend, deadlines, the helpers for hypercalls.
        domain: What the primary has announced.
        hooks: To be run before and after it.
        fence: Asked before the copy runs without the primary's word.

    Raises:
        NotSupported: The primary hears no acknowledgements.
    """
    toolstack, wanted = toolstack_of(env), domain.wanted()
    operation: Backup = (
        XenBackup(env, toolstack, wanted)
        if isinstance(toolstack, XenToolstack)
        else SimxenBackup(env, toolstack, wanted)
    )
    operation.hold(domain, Hooks(env, hooks, "receive"), fence)
    return operation


class Backup(Receive):
    """The copy of one guest; the operation of each backend comes behind it."""

    kind: Kind = "backup"

    def hold(self, domain: Announced, hooks: Hooks, fence: Fence) -> None:
        """Take what is held; before all else. Arguments and errors as of ``backup``."""
        self.take(domain, hooks)
        if not isinstance(domain.talk, OwnTalk):
            raise NotSupported("xl's remus hears no acknowledgements")
        self._acks = SpokenAcks(domain.talk)
        self._taking = self._succession = Succession(self.env, domain, fence)

    @property
    def what(self) -> str:
        """See the base class."""
        return f"backup of domain {self._domain.name}"

    @property
    def held(self) -> int:
        """The last epoch that is held."""
        return self._succession.held

    def began(self, run: Run) -> None:
        """See the base class; whatever the primary says ends the stream."""
        super().began(run)
        self._talk.watch(None)  # a primary that is gone is no failure
        self._succession.listen(lambda: self._end_stream(run))

    def _end_stream(self, run: Run) -> None:
        """Have the copy be what is held, if anything is."""
        if run.link is None or run.record.complete is not None:
            return
        if self.held:
            run.link.send(FailOver())
        else:
            run.fail(self._succession.reason, Step.ABORT)  # there is no copy yet

    async def _holds(self, epoch: int, run: Run) -> None:
        """Tell the primary of an epoch that is held."""
        self._succession.held = epoch
        await self._acks.say(epoch)
        if epoch == 1:
            run.enter("first epoch")

    async def settle(self, run: Run) -> Settled:
        """See the base class."""
        try:
            return await super().settle(run)
        finally:
            await self._succession.stop()


class SimxenBackup(Backup, SimxenRestore):
    """On an embedded host: the helper asks us about each epoch."""

    calls = SimxenRestore.calls | {Checkpoint}

    async def check(self, stream: StreamFd) -> None:
        """Have the domain kept; the stream has no end that could be looked for."""
        await self._keep()

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        return super().start(stream_fd).replace(stream_type=StreamType.REMUS)

    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        """Do what the helper asks for."""
        if not isinstance(call, Checkpoint):
            return await super().answer(call, run)
        await self._holds(self.held + 1, run)
        return GO_ON

    async def restored(self, run: Run) -> Settled:
        """See the base class."""
        return await SimxenRestore.settle(self, run)


class XenBackup(Backup, XenReceive):
    """On real Xen: libxenlight's save helper, which is ours, writes to us of each."""

    _written_fd = _read_fd = NO_FD
    _passing: asyncio.Task[None] | None = None

    def inherited(self) -> list[int]:
        """See the base class: where epochs are acknowledged, too."""
        self._read_fd, self._written_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        return [*super().inherited(), self._written_fd]

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        start = super().start(stream_fd)
        return start.replace(stream_type=StreamType.REMUS, recv_fd=self._written_fd)

    def began(self, run: Run) -> None:
        """See the base class."""
        self._written_fd = _closed(self._written_fd)
        self._passing = asyncio.create_task(self._pass_on(run))
        super().began(run)

    async def _pass_on(self, run: Run) -> None:
        acks = WrittenAcks(self._read_fd, self.deadlines)
        with suppress(JobError):  # of the helper, or the primary: each is seen to end
            while True:
                await self._holds(await acks.heard(), run)

    async def settle_guest(self, run: Run) -> Settled:
        """See the base class."""
        if self._passing is not None:
            self._passing.cancel()
            await asyncio.gather(self._passing, return_exceptions=True)
        self._written_fd = _closed(self._written_fd)
        self._read_fd = _closed(self._read_fd)
        return await super().settle_guest(run)


def _closed(fd: int) -> int:
    if fd != NO_FD:
        os.close(fd)
    return NO_FD
