"""Hold the copy of a protected guest, and take over once its primary is gone.

The stream never ends by itself: each epoch that is whole is held and acknowledged.
When the stream has ended, the copy is what the guest was at the end of the last of
them. It runs only if the primary is proved to be gone: should that guest live, it is
removed, and should nobody know, it is left paused, for who can tell.
"""

import enum
from collections.abc import Awaitable, Callable

from libxlpy.callbacks import AnswerTo
from libxlpy.domain.repair import ask_guest, failed
from libxlpy.domain.toolstack_simxen import SimxenToolstack
from libxlpy.errors import JobError, PeerFailed
from libxlpy.jobs.operation import Run
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.operations.restore_simxen import SimxenRestore
from libxlpy.operations.restore_target import Wanted
from libxlpy.process.environment import Environment
from libxlpy.remus.acks import Acks
from libxlpy.results.report import Kind, Settled
from libxlpy_protocol.enums import StreamType
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import CallMessage, Checkpoint, Start

#: Answer to libxenguest.
GO_ON = 1


class Primary(enum.Enum):
    """What is known of the primary's guest."""

    #: It does not run, and will not: its host is off, or was fenced.
    GONE = "gone"
    #: It runs.
    ALIVE = "alive"
    #: Nobody can tell.
    UNKNOWN = "unknown"


#: Asked once the stream has ended.
Fence = Callable[[], Awaitable[Primary]]


class SimxenBackup(SimxenRestore):
    """The copy of one guest, on an embedded host."""

    kind: Kind = "backup"
    calls = SimxenRestore.calls | {Checkpoint}

    def __init__(
        self,
        env: Environment,
        toolstack: SimxenToolstack,
        target: Wanted,
        acks: Acks,
        fence: Fence,
    ) -> None:
        """Hold it in a domain that the host makes.

        Args:
            env: See the base class.
            toolstack: See the base class.
            target: What the domain is to be.
            acks: To the primary.
            fence: Asked before the copy runs.
        """
        super().__init__(env, toolstack, target)
        #: The last epoch that is held.
        self.held = 0
        self._acks = acks
        self._fence = fence

    @property
    def what(self) -> str:
        """See the base class."""
        return f"backup of domain {self._name}"

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
        self.held += 1
        await self._acks.say(self.held)
        if self.held == 1:
            run.enter("held")
        return GO_ON

    async def settle(self, run: Run) -> Settled:
        """Take over, if the primary is gone; ask where the guest is."""
        if run.failure is not None:
            return await super().settle(run)
        run.enter("fence")
        match await self._asked(run):
            case Primary.GONE:
                return await super().settle(run)
            case Primary.ALIVE:
                run.fail(PeerFailed("ended the protection", "its guest runs there"))
                return await super().settle(run)
        self.is_left = True
        told = failed("taken over", "nobody knows whether the primary is gone")
        run.fail(JobError(f"the copy of {self._name!r} is left paused: {told}"))
        await self._toolstack.launch(self.domid, self.uuid, paused=True)
        settled = await ask_guest(self.env, self.domid, self.uuid)
        return settled.also(told)

    async def _asked(self, run: Run) -> Primary:
        try:
            return await self._fence()
        except LibxlpyError as exc:
            run.record.later.append(str(exc))
            return Primary.UNKNOWN
