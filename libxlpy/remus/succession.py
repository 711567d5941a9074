"""What becomes of a copy that is held: the backup's table, from there to its end.

It is removed if the primary goes on with its own guest, taken if the primary hands it
over, and taken over only if the primary is proved to be gone: should nobody know, it is
left paused, for who can tell. The table is
``libxlpy_protocol.migration.protection.BACKUP``.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from libxlpy.errors import JobError, MigrationOpen, PeerFailed, TimedOut
from libxlpy.jobs.operation import Run
from libxlpy.migration.announced import Announced
from libxlpy.migration.taking import Taking
from libxlpy.process.environment import Environment
from libxlpy.remus.fence import Fence, Lost, NoFence, Primary
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.migration.handshake import Event, Word
from libxlpy_protocol.migration.protection import BACKUP, Holding, State

#: What is known -> what it means for the copy.
FENCED: dict[Primary, Event] = {
    Primary.GONE: Event.DONE,
    Primary.ALIVE: Event.REFUSED,
    Primary.UNKNOWN: Event.FAILED,
}

#: Said of a copy that was taken over without a fence.
NOT_PROVED = "nobody has proved that the primary is gone: its guest may run, too"


class Succession(Taking):
    """One copy; until it is whole, what the primary says is only noted."""

    table: ClassVar[Mapping[Any, Mapping[Event, Any]]] = BACKUP
    whole: ClassVar[State] = Holding.HELD

    def __init__(self, env: Environment, domain: Announced, fence: Fence) -> None:
        """Begin while nothing is held.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            domain: What the primary has announced.
            fence: Asked before the copy runs without the primary's word.
        """
        super().__init__(env, domain)
        self._fence = fence
        #: The last epoch that is held.
        self.held = 0
        #: What was seen of a primary that is not heard any more.
        self._why = ""
        self._heard: asyncio.Task[Word | JobError] | None = None

    def listen(self, ended: Callable[[], None]) -> None:
        """Hear the primary from here on; tell once it has ended it, or is not heard."""
        self._heard = asyncio.create_task(self._hear())
        self._heard.add_done_callback(lambda _: ended())

    async def _hear(self) -> Word | JobError:
        """Wait until the primary ends it, or is not heard any more."""
        words = (Word.HAND_OVER, Word.GIVEN_UP)
        try:
            return await self._talk.hear(*words, deadline=None)
        except JobError as exc:
            return exc

    @property
    def reason(self) -> JobError:
        """Why the primary has ended it; once it has."""
        assert self._heard is not None
        heard = self._heard.result()
        if isinstance(heard, JobError):
            return heard
        return PeerFailed("ended the protection", self._talk.why)

    async def stop(self) -> None:
        """Hear nothing more."""
        if self._heard is not None:
            self._heard.cancel()
            await asyncio.gather(self._heard, return_exceptions=True)

    async def _step(self, run: Run) -> Event:
        """See the base class."""
        match self.state:
            case Holding.HELD:
                return await self._ended(run)
            case Holding.FENCE:
                run.enter("fence")
                return FENCED[await self._asked(run)]
            case Holding.TAKE_OVER:
                run.commit("take over")
                await self._start()
                return Event.DONE
            case _:
                return await super()._step(run)

    async def _ended(self, run: Run) -> Event:
        """Wait for what the primary says of the end of its stream."""
        run.enter("held")
        assert self._heard is not None  # since it began
        heard = await self._waits.wait(asyncio.shield(self._heard))
        if heard is Word.HAND_OVER:
            return Event.DONE
        if heard is Word.GIVEN_UP:
            run.fail(PeerFailed("goes on with its own guest", self._talk.why))
            return Event.REFUSED
        self._why = str(heard)
        run.record.later.append(self._why)
        return Event.FAILED

    async def _asked(self, run: Run) -> Primary:
        doubt = "the fence can't say"
        found = Primary.UNKNOWN
        deadlines = self._env.deadlines
        # An executable is started, and ended, beside its own bound, and then tells why.
        seconds = deadlines.fence + deadlines.spawn + deadlines.kill_grace
        lost = Lost(self._domain.name, self._domain.uuid, self.held, self._why)
        try:
            async with asyncio.timeout(seconds):
                found = await self._fence(lost)
        except TimeoutError:
            doubt = str(TimedOut("fence", seconds))
        except LibxlpyError as exc:
            doubt = str(exc)
        if found is Primary.ALIVE:
            run.fail(PeerFailed("ended the protection", "its guest runs there"))
        if found is Primary.UNKNOWN:
            text = f"the copy of {self._domain.name!r} is left paused: nobody knows"
            run.fail(MigrationOpen(f"{text} whether the primary is gone: {doubt}"))
        if isinstance(self._fence, NoFence):
            run.record.remarks.append(NOT_PROVED)
        return found

    def _fail(self, run: Run, error: JobError) -> None:
        """See the base class; what only leads to the fence is no failure yet."""
        if self.table[self.state][Event.FAILED] is Holding.FENCE:
            run.record.later.append(str(error))
        else:
            super()._fail(run, error)

    def _open(self, error: JobError) -> MigrationOpen:
        name, why = self._domain.name, error.args[0]
        return MigrationOpen(f"the copy of {name!r} is left paused: {why}")
