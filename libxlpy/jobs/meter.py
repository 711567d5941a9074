"""Measure a job: fed with what the helper says, gives snapshots.

Pages and iterations come from libxenguest's progress messages, bytes and the helper's
use from its heartbeats, times from our own clock. Nothing is asked for.
"""

import time
from collections import deque
from collections.abc import AsyncIterator

from libxlpy.events import EventFeed, JobEvent, StatEvent
from libxlpy.results.statistics import (
    HelperUse,
    IoCounts,
    Iteration,
    Latency,
    Statistics,
)
from libxlpy_protocol.messages import Progress, Stat
from libxlpy_protocol.xen import PAGE_SIZE, pass_of

#: Passes kept; libxenguest makes a handful, a policy may want many.
HISTORY_KEPT = 200
#: Seconds; a rate over less than this is noise.
MEASURED_OVER = 0.3
#: The phase in which the helper begins with the guest.
WORKS = "libxc"
#: Callbacks between two passes: libxenguest asks nothing within one.
BETWEEN = frozenset({"precopy_policy", "suspend"})


class _Pass:
    """The pass over memory that is under way."""

    def __init__(self, name: str, number: int, began: float, total: int) -> None:
        self.name = name
        self.number = number
        self.began = began
        self.done = 0
        self.total = total
        #: When all of it was sent; 0 before that.
        self.sent = 0.0

    def ended(self, now: float, dirty: int | None) -> Iteration:
        seconds = (self.sent or now) - self.began
        return Iteration(self.number, self.done, dirty, seconds)


class Meter:
    """The figures of one job."""

    def __init__(self, began: float) -> None:
        """Start to measure.

        Args:
            began: When the job began, monotonic seconds.
        """
        self._began = began
        self._ended = 0.0
        self._phase = ""
        self._setup: float | None = None
        # ----- memory -----
        self._pages = 0
        self._pass: _Pass | None = None
        #: When libxenguest was answered between two passes; 0: it is in one. The one
        #: before the suspend and the one after it have one name, and may be as long.
        self._between = 0.0
        self._history: deque[Iteration] = deque(maxlen=HISTORY_KEPT)
        self._dirty_rate: float | None = None
        # ----- stream -----
        self._bytes = 0
        self._rate: float | None = None
        self._measured = (began, 0)
        # ----- the guest's downtime -----
        self._suspended = 0.0
        self._handed_over = 0.0
        self._resumed = 0.0
        self._expected: float | None = None
        # ----- callbacks, helper -----
        self._callbacks: dict[str, Latency] = {}
        self._use = HelperUse()

    # ----- what is told -----------------------------------------------------------

    def enter(self, phase: str) -> None:
        """Take a phase of the job."""
        self._phase = phase
        if phase == WORKS and self._setup is None:
            self._setup = time.monotonic() - self._began
            self._measured = (time.monotonic(), self._bytes)

    def progress(self, message: Progress) -> None:
        """Take pages done of those of a pass."""
        number = pass_of(message.doing_what)
        if number is None:
            return
        name, now = message.doing_what, time.monotonic()
        part = self._pass
        if part is None or name != part.name or self._between:
            began = self._between or now
            part = _Pass(name, max(number, 0), began, message.total)
            self._next_pass(part)
        part.done = message.done
        if part.done >= part.total:
            part.sent = now

    def _next_pass(self, new: _Pass) -> None:
        self._between = 0.0
        if self._pass is None:
            self._pages = new.total
        else:
            # what it has to send is what was found dirty; a verify sends all again
            found = None if "verify" in new.name else new.total
            self._end_pass(self._pass, found, new.began)
        self._pass = new

    def _end_pass(self, done: _Pass, dirty: int | None, now: float) -> None:
        self._history.append(done.ended(now, dirty))
        # dirty since the pass before was begun, not only while this one was sent
        if dirty is not None and now > done.began:
            self._dirty_rate = dirty / (now - done.began)

    def stat(self, stat: Stat, io: IoCounts | None) -> None:
        """Take a heartbeat, and what the kernel counts for the helper."""
        rss = stat.rss_kib * 1024
        self._use = HelperUse(
            user_seconds=stat.utime_us / 1e6,
            system_seconds=stat.stime_us / 1e6,
            rss_bytes=rss,
            max_rss_bytes=max(rss, self._use.max_rss_bytes),
            io=io or self._use.io,
        )
        self._bytes = stat.bytes_done
        now = time.monotonic()
        before, done = self._measured
        if self._setup is not None and now - before >= MEASURED_OVER:
            self._rate = max(self._bytes - done, 0) / (now - before)
            self._measured = (now, self._bytes)

    def expect(self, downtime: float | None) -> None:
        """Take the downtime that is to be expected, ms, as passes and policy see it."""
        self._expected = downtime

    def answered(self, callback: str, seconds: float) -> None:
        """Take how long the answer to a callback took."""
        if callback in BETWEEN:
            self._between = time.monotonic()
        before = self._callbacks.get(callback, Latency())
        self._callbacks[callback] = before.also(seconds * 1000)

    def suspended(self, at: float) -> None:
        """Take when the guest was seen suspended, monotonic seconds; 0: it was not."""
        self._suspended = at

    def completed(self) -> None:
        """Take that the stream is complete: the handover."""
        self._handed_over = time.monotonic()

    def resumed(self, at: float) -> None:
        """Take when the guest was resumed, monotonic seconds; 0: it was not."""
        self._resumed = at

    def end(self) -> None:
        """Take that the job has ended; only a resume may follow."""
        self._ended = time.monotonic()
        if self._pass is not None:
            self._end_pass(self._pass, None, self._ended)

    # ----- what is given ----------------------------------------------------------

    @property
    def history(self) -> tuple[Iteration, ...]:
        """Passes over memory that have ended."""
        return tuple(self._history)

    @property
    def downtime(self) -> float | None:
        """Milliseconds the guest was down, as :attr:`Statistics.downtime`."""
        until = self._resumed or self._handed_over
        if not self._suspended or not until:
            return None
        return max(0.0, until - self._suspended) * 1000

    def snapshot(self) -> Statistics:
        """Give the figures of this moment."""
        now = self._ended or time.monotonic()
        part = self._pass
        remaining = (part.total - part.done) * PAGE_SIZE if part else 0
        rate = self._whole_rate() if self._ended else self._rate
        return Statistics(
            phase=self._phase,
            iteration=part.number if part else 0,
            transferred=self._bytes,
            total=self._pages * PAGE_SIZE,
            remaining=remaining,
            dirty_pages_rate=self._dirty_rate,
            mbps=None if rate is None else rate * 8 / 1e6,
            downtime=self.downtime,
            expected_downtime=self._expected
            if self._expected is not None
            else (remaining / rate * 1000 if rate and part else None),
            setup_time=None if self._setup is None else self._setup * 1000,
            total_time=(now - self._began) * 1000,
            history=self.history,
            callbacks=dict(self._callbacks),
            helper=self._use,
        )

    def _whole_rate(self) -> float | None:
        """Give bytes a second from the first to the last of the stream."""
        until = self._handed_over or self._ended
        seconds = until - self._began - (self._setup or 0.0)
        return self._bytes / seconds if self._bytes and seconds > 0 else None

    def stream(self, feed: EventFeed) -> AsyncIterator[Statistics]:
        """Iterate over snapshots, one a heartbeat; the last one is the final record."""
        return self._snapshots(feed.subscribe())

    async def _snapshots(
        self, events: AsyncIterator[JobEvent]
    ) -> AsyncIterator[Statistics]:
        async for event in events:
            if isinstance(event, StatEvent):
                yield self.snapshot()
        yield self.snapshot()
