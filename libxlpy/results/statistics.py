"""The figures of a job, with QEMU's and libvirt's names and units.

A :class:`Statistics` is a snapshot; :class:`~libxlpy.jobs.meter.Meter` makes them.
Sizes are bytes, times are milliseconds, as in QEMU's ``query-migrate``; what is not
known is None, never a guess.
"""

from bisect import bisect_left
from collections.abc import Mapping

from libxlpy_protocol.value import Value

#: Upper bounds of a latency histogram's buckets, ms; the last bucket has none.
BUCKETS_MS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000)


class Iteration(Value):
    """One pass over memory that has ended."""

    #: As libxenguest counts; the pass while the guest is suspended is the last one.
    number: int
    pages_sent: int
    #: Pages the guest had written meanwhile; None when nobody looked.
    dirty_found: int | None
    #: From when it was allowed until all of it was sent.
    seconds: float


class Latency(Value):
    """How long the answers to one callback took."""

    count: int = 0
    total_ms: float = 0.0
    max_ms: float = 0.0
    #: Answers in each bucket of :data:`BUCKETS_MS`, one more for all above.
    buckets: tuple[int, ...] = (0,) * (len(BUCKETS_MS) + 1)

    def also(self, milliseconds: float) -> "Latency":
        """Give the same with one more answer."""
        place = bisect_left(BUCKETS_MS, milliseconds)
        counts = list(self.buckets)
        counts[place] += 1
        return Latency(
            count=self.count + 1,
            total_ms=self.total_ms + milliseconds,
            max_ms=max(self.max_ms, milliseconds),
            buckets=tuple(counts),
        )


class IoCounts(Value):
    """What the kernel counts of a process's reads and writes (``/proc/PID/io``)."""

    #: Bytes of all reads and writes, pipes and caches included.
    read_chars: int
    write_chars: int
    #: Bytes that storage has seen.
    read_bytes: int
    write_bytes: int


class HelperUse(Value):
    """What the helper process used, as of its last sign of life."""

    user_seconds: float = 0.0
    system_seconds: float = 0.0
    rss_bytes: int = 0
    max_rss_bytes: int = 0
    #: None where the kernel does not show it: only root may look.
    io: IoCounts | None = None


class Statistics(Value, kw_only=True):
    """Where a job stands, or stood at its end."""

    #: Phase of the job.
    phase: str = ""
    #: Passes over memory, from 0.
    iteration: int = 0
    #: Bytes of the stream written or read.
    transferred: int = 0
    #: Bytes of the guest's memory; 0 until the first pass has begun.
    total: int = 0
    #: Bytes that the pass under way still has to send.
    remaining: int = 0
    #: Pages a second that the guest wrote during the last pass that was looked at.
    dirty_pages_rate: float | None = None
    #: Megabits a second: lately while it runs, of the whole once it has ended.
    mbps: float | None = None
    #: Guest seen suspended until it was resumed or, if it was not, until the stream was
    #: complete (handover). None before that, and if nobody suspended it.
    downtime: float | None = None
    #: The pass under way at the present rate: what a suspend now would cost.
    expected_downtime: float | None = None
    #: Job begun until the helper began with the guest.
    setup_time: float | None = None
    #: Job begun until now, or until it had ended.
    total_time: float = 0.0
    #: Passes that have ended, oldest first.
    history: tuple[Iteration, ...] = ()
    #: Xen's name of a callback -> how long its answers took.
    callbacks: Mapping[str, Latency] = {}
    helper: HelperUse = HelperUse()

    def lines(self) -> list[str]:
        """Give the figures, one fact a line."""
        times = {
            name: getattr(self, name)
            for name in ("setup_time", "total_time", "downtime", "expected_downtime")
        }
        told = [f"{name} {ms:.1f} ms" for name, ms in times.items() if ms is not None]
        use = self.helper
        sizes = f"remaining {self.remaining}, total {self.total} bytes"
        cpu = f"user {use.user_seconds:.2f} s, system {use.system_seconds:.2f} s"
        return [
            f"transferred {self.transferred}, {sizes}",
            ", ".join(told),
            *(
                f"iteration {each.number}: {each.pages_sent} pages in "
                f"{each.seconds:.3f} s, {_known(each.dirty_found)} dirty after it"
                for each in self.history
            ),
            *(
                f"callback {name}: {each.count} times, "
                f"{each.total_ms / each.count:.1f} ms mean, {each.max_ms:.1f} ms most"
                for name, each in self.callbacks.items()
            ),
            f"helper: {cpu}, {use.max_rss_bytes} bytes resident at most",
        ]


def _known(count: int | None) -> str:
    return "an unknown number" if count is None else str(count)
