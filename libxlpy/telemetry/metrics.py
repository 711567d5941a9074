"""Metrics of a context's jobs, for Prometheus; needs ``libxlpy[prometheus]``.

ctx.watch(Metrics(registry))
prometheus_client.generate_latest(registry)     # the text that is scraped
"""

from typing import Any

from libxlpy.errors import UsageError
from libxlpy.jobs.job import Job
from libxlpy.jobs.watchers import Watcher

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
except ImportError as exc:
    text = "metrics need prometheus_client: pip install 'libxlpy[prometheus]'"
    raise UsageError(text) from exc

#: Upper bounds of the downtime's buckets, seconds: a guest's clients notice from a few
#: tenths on, its own timeouts begin after some seconds.
DOWNTIME_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
#: Of whole jobs, seconds.
DURATION_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
#: What a job that reached its aim is counted as.
COMPLETED = "Completed"


class Metrics(Watcher):
    """Counts the jobs of one or more contexts; labels are bounded in number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Make the metrics.

        Args:
            registry: They are registered there, and can be so once only.
        """
        self._jobs = Counter(
            "libxlpy_jobs",
            "Jobs that have ended, by kind and by class of their outcome.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._undone = Counter(
            "libxlpy_jobs_undone",
            "Jobs that had ended as Completed, then undone: nobody took the result.",
            ["kind"],
            registry=registry,
        )
        self._running = Gauge(
            "libxlpy_jobs_running", "Jobs under way.", ["kind"], registry=registry
        )
        self._bytes = Counter(
            "libxlpy_stream_bytes",
            "Bytes of streams written or read by jobs that have ended.",
            ["kind"],
            registry=registry,
        )
        self._downtime = Histogram(
            "libxlpy_downtime_seconds",
            "Guest seen suspended until its stream was complete or it was resumed.",
            ["kind"],
            buckets=DOWNTIME_BUCKETS,
            registry=registry,
        )
        self._duration = Histogram(
            "libxlpy_job_duration_seconds",
            "Job begun until everything had stopped.",
            ["kind"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )

    def began(self, job: Job[Any]) -> None:
        """Count a job in."""
        self._running.labels(job.kind).inc()

    def ended(self, job: Job[Any]) -> None:
        """Count a job out, with its figures."""
        figures = job.statistics
        self._running.labels(job.kind).dec()
        self._jobs.labels(job.kind, outcome(job)).inc()
        self._bytes.labels(job.kind).inc(figures.transferred)
        self._duration.labels(job.kind).observe(figures.total_time / 1000)
        if figures.downtime is not None:
            self._downtime.labels(job.kind).observe(figures.downtime / 1000)

    def undone(self, job: Job[Any]) -> None:
        """Count a job that was counted as completed and is so no more."""
        self._undone.labels(job.kind).inc()


def outcome(job: Job[Any]) -> str:
    """Give the name of a job's outcome: that of its error's class."""
    return COMPLETED if job.error is None else type(job.error).__name__
