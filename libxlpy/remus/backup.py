"""Hold the copy of a protected guest, and take over once its primary is gone.

The stream never ends by itself: each epoch that is whole is held and acknowledged.
When it has ended, or the primary has, the copy is what the guest was at the end of the
last of them; what then becomes of it, see ``succession``.
"""

from libxlpy.callbacks import AnswerTo
from libxlpy.domain.toolstack_simxen import SimxenToolstack
from libxlpy.errors import NotSupported
from libxlpy.jobs.operation import Run
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.migration.announced import Announced
from libxlpy.migration.hooks import Hooks
from libxlpy.migration.receive import Receive
from libxlpy.migration.talk import OwnTalk
from libxlpy.operations.restore_simxen import SimxenRestore
from libxlpy.process.environment import Environment
from libxlpy.remus.acks import SpokenAcks
from libxlpy.remus.succession import Fence, Succession
from libxlpy.results.report import Kind, Settled
from libxlpy_protocol.enums import StreamType
from libxlpy_protocol.messages import CallMessage, Checkpoint, FailOver, Start

#: Answer to libxenguest.
GO_ON = 1


class SimxenBackup(Receive, SimxenRestore):
    """The copy of one guest, on an embedded host."""

    kind: Kind = "backup"
    calls = SimxenRestore.calls | {Checkpoint}

    def __init__(
        self,
        env: Environment,
        toolstack: SimxenToolstack,
        domain: Announced,
        hooks: Hooks,
        fence: Fence,
    ) -> None:
        """Hold it in a domain that the host makes.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            toolstack: Of the host.
            domain: What the primary has announced.
            hooks: To be run before and after it.
            fence: Asked before the copy runs without the primary's word.

        Raises:
            NotSupported: The primary hears no acknowledgements.
        """
        super().__init__(env, toolstack, domain.wanted())
        self.take(domain, hooks)
        if not isinstance(domain.talk, OwnTalk):
            raise NotSupported("xl's remus hears no acknowledgements")
        self._acks = SpokenAcks(domain.talk)
        self._taking = self._succession = Succession(env, domain, fence)
        #: The last epoch that is held.
        self.held = 0

    @property
    def what(self) -> str:
        """See the base class."""
        return f"backup of domain {self._domain.name}"

    async def check(self, stream: StreamFd) -> None:
        """Have the domain kept; the stream has no end that could be looked for."""
        await self._keep()

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        return super().start(stream_fd).replace(stream_type=StreamType.REMUS)

    def began(self, run: Run) -> None:
        """See the base class; whatever the primary says ends the stream."""
        super().began(run)
        self._talk.watch(None)  # a primary that is gone is no failure
        self._succession.listen(lambda: self._end_stream(run))

    @staticmethod
    def _end_stream(run: Run) -> None:
        if run.link is not None and run.record.complete is None:
            run.link.send(FailOver())

    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        """Do what the helper asks for."""
        if not isinstance(call, Checkpoint):
            return await super().answer(call, run)
        self.held += 1
        await self._acks.say(self.held)
        if self.held == 1:
            run.enter("first epoch")
        return GO_ON

    async def restored(self, run: Run) -> Settled:
        """See the base class."""
        return await SimxenRestore.settle(self, run)

    async def settle(self, run: Run) -> Settled:
        """See the base class."""
        try:
            return await super().settle(run)
        finally:
            await self._succession.stop()
