"""What a policy sees: passes over memory that have ended, and what a stop would cost.

Libxenguest asks before each pass, with the pages that it is about to send, and after
it. Once it is told to stop it sends those, too, while the guest runs; what is left for
the pause is what the guest writes meanwhile. So the pause after a pass can be estimated
before it, and is no other if the stop comes right after it.
"""

import math
from collections import deque
from collections.abc import Sequence

from libxlpy.callbacks import PrecopyStats
from libxlpy.results.statistics import Iteration
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE

#: Passes kept.
PASSES_KEPT = 200
#: Pages over which the rate is measured: 64 MiB. What fewer take says how fast the
#: buffers on the way fill.
MEASURED_OVER = (64 << 20) // PAGE_SIZE


class PrecopyView(Value, kw_only=True):
    """Where a live save stands; what is not known is None, a number of Xen's -1."""

    #: Passes that have ended.
    iteration: int
    #: Pages written so far.
    total_written: int
    #: Pages dirty now, which the next pass would send; -1 right after a pass, as the
    #: log was not read yet.
    dirty_count: int
    #: Those that have ended, oldest first.
    passes: tuple[Iteration, ...] = ()
    #: Pages a second.
    rate: float | None = None
    #: Pages to be sent while the guest is suspended, if it is after this pass.
    expected_pages: int | None = None
    #: Seconds since the job began.
    elapsed: float = 0.0
    #: Seconds left of the job's deadline ``total``.
    left: float | None = None

    @property
    def expected_downtime(self) -> float | None:
        """Milliseconds the guest would be down; those of its devices not counted."""
        return self.downtime_at(self.rate)

    def downtime_at(self, rate: float | None) -> float | None:
        """Give the same at a rate that is known better.

        Args:
            rate: Pages a second.
        """
        if self.expected_pages is None or not rate:
            return None
        return self.expected_pages / rate * 1000

    @property
    def pass_seconds(self) -> float | None:
        """Seconds the next pass would take; 0 right after one."""
        if self.dirty_count <= 0:
            return 0.0
        return self.dirty_count / self.rate if self.rate else None


class Passes:
    """The passes of one job, as its questions and answers come."""

    def __init__(self) -> None:
        self._ended: deque[Iteration] = deque(maxlen=PASSES_KEPT)
        self._under_way: tuple[int, int, float] | None = None

    def asked(self, stats: PrecopyStats, now: float) -> None:
        """Take a question: a pass has ended, or what was dirty after it was read."""
        if self._under_way is not None:
            number, pages, began = self._under_way
            self._ended.append(Iteration(number, pages, None, now - began))
            self._under_way = None
        if stats.dirty_count >= 0 and self._ended:
            found = stats.dirty_count
            self._ended[-1] = self._ended[-1].replace(dirty_found=found)

    def answered(self, stats: PrecopyStats, pages: int, now: float) -> None:
        """Take the answer: a pass begins, if it was asked before one.

        Args:
            stats: The question.
            pages: Those that the guest has. The first pass is said to send all frames
                of its address space, most of which may be none.
            now: Monotonic seconds.
        """
        if stats.dirty_count >= 0:
            sent = min(stats.dirty_count, pages)
            self._under_way = (stats.iteration, sent, now)

    def view(
        self, stats: PrecopyStats, pages: int, *, elapsed: float, left: float | None
    ) -> PrecopyView:
        """Give what there is to see at a question.

        Args:
            stats: The question.
            pages: Those that the guest has.
            elapsed: See :class:`PrecopyView`.
            left: See :class:`PrecopyView`.
        """
        passes = tuple(self._ended)
        return PrecopyView(
            iteration=stats.iteration,
            total_written=stats.total_written,
            dirty_count=stats.dirty_count,
            passes=passes,
            rate=rate_of(passes),
            expected_pages=expected_pages(passes, stats.dirty_count, pages),
            elapsed=elapsed,
            left=left,
        )


def rate_of(passes: Sequence[Iteration]) -> float | None:
    """Give pages a second of the latest passes that say it; None if none does."""
    sent, seconds = 0, 0.0
    for each in reversed(passes):
        sent += each.pages_sent
        seconds += each.seconds
        if sent >= MEASURED_OVER:
            break
    return sent / seconds if sent and seconds > 0 else None


def expected_pages(
    passes: Sequence[Iteration], dirty_count: int, pages: int
) -> int | None:
    """Give the pages that the guest writes during the last pass, rather too many.

    That many as it has written during the pass before; more, if the last one is longer.
    Not fewer, if it is shorter: those that a guest writes are often the same few.

    Args:
        passes: Those that have ended.
        dirty_count: What the last pass is to send; -1 if it has ended.
        pages: Those that the guest has.

    Returns:
        None if no pass has been looked at.
    """
    sizes = [each.pages_sent for each in passes[-2:]]
    if dirty_count >= 0:
        sizes = [*sizes, dirty_count][-2:]
    if len(sizes) < 2:
        return None
    before, last = sizes
    return min(math.ceil(last * max(1.0, last / before if before else 1.0)), pages)
