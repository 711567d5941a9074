"""What a job tells while it runs; bounded, oldest dropped first.

``async for event in job.events()`` sees each of these as it happens. A reader that is
too slow loses the oldest ones and never holds up the job.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from libxlpy_protocol.value import Value

#: Events one slow reader may be behind.
MAX_BEHIND = 1024


class PhaseEvent(Value):
    """The job entered a phase."""

    name: str
    #: Seconds since the start of the job.
    at: float


class ProgressEvent(Value):
    """Libxenguest reports progress, in whatever unit it counts."""

    context: str
    doing_what: str
    done: int
    total: int


class StatEvent(Value):
    """Sign of life of the helper with its figures, at least twice a second."""

    #: Helper's CLOCK_MONOTONIC.
    monotonic_ns: int
    phase: str
    bytes_done: int
    pages: int
    iteration: int
    #: Dirty pages at the last look, -1 when not known.
    dirty: int
    utime_us: int
    stime_us: int
    rss_kib: int
    #: Log lines the helper dropped because we did not read fast enough.
    dropped: int


class LogEvent(Value):
    """A log line of libxenguest or of the helper; level as ``xentoollog``'s."""

    level: int
    #: -1 when there is none.
    errnoval: int
    context: str
    text: str


class StallEvent(Value):
    """The job does not get on; see :class:`libxlpy.jobs.stall.StallPolicy`."""

    #: ``"heartbeat_age"``, ``"bytes_age"`` or ``"iterations"``.
    signal: str
    #: Seconds, or iterations, that passed.
    bound: float
    #: What is done: ``"warn"``, ``"abort"`` or ``"stop_and_copy"``.
    action: str
    text: str


class PrecopyEvent(Value, kw_only=True):
    """A pass over memory has ended while the guest runs, and how it goes on."""

    #: Of the pass that has ended, as of :class:`.Iteration`.
    iteration: int
    pages_sent: int
    seconds: float
    #: None if nobody looked: the guest is suspended first.
    dirty_found: int | None
    #: Megabits a second, over the latest passes.
    mbps: float | None
    #: Milliseconds that the guest would be down if the next pass was the last one; its
    #: devices are not counted.
    expected_downtime: float | None
    #: ``"go_on"``, ``"stop_and_copy"``, ``"abort"``; ``"held_back"``: its policy would
    #: stop, but the pause would not end before the job's deadline ``total``.
    action: str


JobEvent = PhaseEvent | ProgressEvent | StatEvent | LogEvent | StallEvent | PrecopyEvent


class EventFeed:
    """Hand events of one job to any number of readers."""

    def __init__(self) -> None:
        self._readers: list[tuple[deque[JobEvent], asyncio.Event]] = []
        self._listeners: list[Callable[[JobEvent], None]] = []
        self._ended = False

    def listen(self, listener: Callable[[JobEvent], None]) -> None:
        """Call a function, which must not raise, with each event as it happens."""
        self._listeners.append(listener)

    def publish(self, event: JobEvent) -> None:
        """Give an event to every reader; a full queue loses its oldest."""
        for listener in self._listeners:
            listener(event)
        for queue, wake in self._readers:
            queue.append(event)
            wake.set()

    def close(self) -> None:
        """End all iterations once they have seen what is queued."""
        self._ended = True
        for _, wake in self._readers:
            wake.set()

    def subscribe(self) -> AsyncIterator[JobEvent]:
        """Give an iterator over all events from now on; ends with the job."""
        reader = (deque[JobEvent](maxlen=MAX_BEHIND), asyncio.Event())
        self._readers.append(reader)
        return self._iterate(reader)

    async def _iterate(
        self, reader: tuple[deque[JobEvent], asyncio.Event]
    ) -> AsyncIterator[JobEvent]:
        queue, wake = reader
        try:
            while queue or not self._ended:
                if not queue:
                    wake.clear()
                    await wake.wait()
                    continue
                yield queue.popleft()
        finally:
            self._readers.remove(reader)
