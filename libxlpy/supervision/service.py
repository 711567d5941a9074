"""A daemon's jobs, told to its supervisor: ready, status, watchdog, stopping.

    async with Context() as ctx, Service(ctx) as service:
        await service.recover()
        service.ready()
        ...                       # until the supervisor wants us to stop
        await service.drain(60)

While it is entered it ticks on the event loop: a loop that is stuck feeds no watchdog,
and neither does one whose jobs have stopped to get on, past all their own bounds.
"""

import asyncio
import contextlib
import os
import time
from types import TracebackType
from typing import Any, Self

from libxlpy.context import Context
from libxlpy.events import JobEvent, PhaseEvent
from libxlpy.jobs.job import Job
from libxlpy.jobs.watchers import Watcher
from libxlpy.recovery.recovery import Recovered
from libxlpy.supervision.notifier import USEC, Notifier, Supervisor
from libxlpy.supervision.stream_store import StreamStore
from libxlpy_protocol.value import Value

#: Seconds between two ticks at most.
TICK = 1.0
#: Ticks within one period of the watchdog.
TICKS_PER_WATCHDOG = 3
#: Seconds asked for at each tick while there is reason to; one that is late is no harm.
EXTENSION = 15.0
#: Seconds without a sign of life after which a job is taken for stuck: more than all
#: the bounds of an abort, a kill and a repair, which end it before.
SILENCE = 300.0
#: Jobs named in the status line.
NAMED = 4
#: Phase in which a save may take long without being able to end.
FLUSH = "flush"


class Drained(Value):
    """What became of the jobs that ran when a service was to stop."""

    #: Ended by themselves, well or not.
    ended: tuple[str, ...]
    #: Cancelled when the time was over; names, as `xlpy jobs` has them.
    cancelled: tuple[str, ...]


class Service(Watcher):
    """Tells a supervisor of the jobs of one context; see the module."""

    def __init__(
        self,
        ctx: Context,
        supervisor: Supervisor | None = None,
        *,
        silence: float = SILENCE,
    ) -> None:
        """Open the way to the supervisor.

        Args:
            ctx: Entered.
            supervisor: None for what the environment of this process says.
            silence: Seconds without an event after which a job counts as stuck.

        Raises:
            UsageError: What the environment says can't be used.
        """
        self._ctx = ctx
        self._supervisor = supervisor or Supervisor.of(os.environ)
        self._notifier = Notifier(self._supervisor.address)
        self._store = StreamStore(
            self._notifier, self._supervisor.room, self._supervisor.handed
        )
        self._silence = silence
        #: Job -> when it showed its last sign of life.
        self._jobs: dict[Job[Any], float] = {}
        self._owed: list[str] = []
        self._status = ""
        self._stopping = False
        #: When recover() began, while it is at it.
        self._recovering: float | None = None
        self._ticking: asyncio.Task[None] | None = None

    # ----- life -------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Begin to tick."""
        self._ctx.watch(self)
        self._ticking = asyncio.create_task(self._tick(), name="libxlpy service")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell that the end has come and stop to tick; jobs are the context's."""
        assert self._ticking is not None  # entered
        self._ctx.unwatch(self)
        self._stop()
        self._ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._ticking
        self._store.close()
        self._notifier.close()

    async def recover(self) -> list[Recovered]:
        """Put right what the last life left; the supervisor is asked for the time.

        Raises:
            BackendError: See :meth:`libxlpy.Context.recover`.
        """
        self._recovering = time.monotonic()
        self._tell()
        self._extend()
        try:
            return await self._ctx.recover()
        finally:
            self._recovering = None
            self._tell()

    def take_stream(self, job: str) -> int | None:
        """Give the socket or pipe of a job of the last life, if it was kept.

        Its other end has not seen its end yet: tell it what became of the job.

        Args:
            job: As in :class:`~libxlpy.Recovered`.

        Returns:
            The descriptor, yours to close; None if there is none.
        """
        return self._store.take(job)

    def ready(self) -> None:
        """Tell that the daemon takes work; what its last life left is put right.

        Kept streams that nobody has taken are closed.
        """
        self._store.close()
        self._send("READY=1")
        self._tell()

    async def drain(self, seconds: float) -> Drained:
        """Have the jobs end, those that take longer cancelled; tell both.

        What the program does after a job (a file put in its place, a guest resumed) is
        for it to wait for; and it must not begin another, see :attr:`stopping`.

        Args:
            seconds: Until those that still run are cancelled; their own deadlines
                bound how long that takes.
        """
        self._stop()
        jobs = list(self._jobs)
        waits = [asyncio.ensure_future(job.ended()) for job in jobs]
        if waits:
            await asyncio.wait(waits, timeout=seconds)
        late = [job for job in jobs if not job.done()]
        await asyncio.gather(*(job.cancel("the service stops") for job in late))
        await asyncio.gather(*waits)
        names = {job.name for job in late if job.cancelled()}
        return Drained(
            ended=tuple(job.name for job in jobs if job.name not in names),
            cancelled=tuple(sorted(names)),
        )

    @property
    def stopping(self) -> bool:
        """Tell whether the end has been announced: begin no job any more."""
        return self._stopping

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._send("STOPPING=1")
            self._tell()

    # ----- told by the jobs -------------------------------------------------------

    def began(self, job: Job[Any]) -> None:
        """Count a job in."""
        self._jobs[job] = time.monotonic()
        self._store.keep(job)
        self._tell()

    def event(self, job: Job[Any], event: JobEvent) -> None:
        """Take note that a job lives."""
        self._jobs[job] = time.monotonic()
        if isinstance(event, PhaseEvent):
            self._tell()
            self._extend()

    def ended(self, job: Job[Any]) -> None:
        """Count a job out."""
        self._jobs.pop(job, None)
        self._store.drop(job.name)
        self._tell()

    # ----- told to the supervisor -------------------------------------------------

    def stuck(self) -> list[Job[Any]]:
        """Give the jobs that show no sign of life, though all their bounds passed."""
        oldest = time.monotonic() - self._silence
        return [job for job, at in self._jobs.items() if at < oldest]

    def status(self) -> str:
        """Give the status line: what runs, and how far it is."""
        jobs = list(self._jobs)
        named = ", ".join(f"{job.name} {job.phase}".strip() for job in jobs[:NAMED])
        more = f" and {len(jobs) - NAMED} more" if len(jobs) > NAMED else ""
        idle = "no job" if self._recovering is None else "recovering"
        doing = f"{named}{more}" if jobs else idle
        return f"stopping: {doing}" if self._stopping else doing

    async def _tick(self) -> None:
        watchdog = self._supervisor.watchdog
        pause = TICK if watchdog is None else min(TICK, watchdog / TICKS_PER_WATCHDOG)
        while True:
            self._tell()
            self._store.settle()
            self._extend()
            if watchdog is not None and not self.stuck():
                self._notifier.send("WATCHDOG=1")
            await asyncio.sleep(pause)

    def _extend(self) -> None:
        """Ask for time if a timeout of the supervisor's would hit work that goes on."""
        flushing = any(job.phase == FLUSH for job in self._jobs)
        draining = self._stopping and bool(self._jobs)
        if (flushing or draining or self._starting()) and not self.stuck():
            self._notifier.send(f"EXTEND_TIMEOUT_USEC={int(EXTENSION * USEC)}")

    def _starting(self) -> bool:
        """Tell whether recover() is at it, and not for longer than it can take."""
        began = self._recovering
        return began is not None and time.monotonic() - began < self._silence

    def _tell(self) -> None:
        """Send the status if it is another one than before, and what is owed."""
        status = self.status()
        if status != self._status:
            self._status = status
            self._owed = [each for each in self._owed if not each.startswith("STATUS=")]
            self._owed.append(f"STATUS={status}")
        self._send()

    def _send(self, *assignments: str) -> None:
        """Send what must arrive; what the supervisor can't take now is sent later."""
        self._owed += assignments
        if self._owed and self._notifier.send(*self._owed):
            self._owed.clear()
