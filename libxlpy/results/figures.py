"""How far a job is, as its process lets others know while it runs."""

from typing import Self

from libxlpy.results.statistics import Statistics
from libxlpy_protocol.value import Value


class JobFigures(Value, kw_only=True):
    """Some of :class:`.Statistics`, with its names and units, as of a moment ago."""

    #: Passes over memory, from 0.
    iteration: int = 0
    #: Bytes of the stream written or read.
    transferred: int = 0
    #: Bytes of the guest's memory; 0 until the first pass has begun.
    total: int = 0
    #: Bytes that the pass under way still has to send.
    remaining: int = 0
    #: Pages found dirty after the last pass that was looked at.
    dirty_pages: int | None = None
    #: Pages a second that the guest wrote during that.
    dirty_pages_rate: float | None = None
    #: Megabits a second, lately.
    mbps: float | None = None
    #: Milliseconds that a suspend would cost, see :class:`.Statistics`.
    expected_downtime: float | None = None
    #: Milliseconds since the job began.
    total_time: float = 0.0

    @classmethod
    def of(cls, figures: Statistics) -> Self:
        """Take them from a job's own."""
        found = (each.dirty_found for each in reversed(figures.history))
        return cls(
            iteration=figures.iteration,
            transferred=figures.transferred,
            total=figures.total,
            remaining=figures.remaining,
            dirty_pages=next((each for each in found if each is not None), None),
            dirty_pages_rate=figures.dirty_pages_rate,
            mbps=figures.mbps,
            expected_downtime=figures.expected_downtime,
            total_time=figures.total_time,
        )
