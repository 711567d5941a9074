"""Traces of a context's jobs, by OpenTelemetry; needs ``libxlpy[opentelemetry]``.

A job is a span, a child of the one that was current when it began; each of its phases
is a span below it. Without an SDK the API's own tracer does nothing, at no cost.
"""

from typing import Any

from libxlpy.errors import UsageError
from libxlpy.events import JobEvent, PhaseEvent, StallEvent
from libxlpy.jobs.job import Job
from libxlpy.jobs.watchers import Watcher

try:
    from opentelemetry import trace
except ImportError as exc:
    text = "spans need opentelemetry-api: pip install 'libxlpy[opentelemetry]'"
    raise UsageError(text) from exc

#: Name of the instrumentation.
TRACER = "libxlpy"


class Spans(Watcher):
    """Makes the spans of the jobs of one or more contexts."""

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        """Say who takes the spans.

        Args:
            provider: The program's own one if None.
        """
        self._tracer = trace.get_tracer(TRACER, tracer_provider=provider)
        #: Job -> its span, and that of its phase.
        self._open: dict[Job[Any], tuple[trace.Span, trace.Span | None]] = {}

    def began(self, job: Job[Any]) -> None:
        """Begin the job's span."""
        self._open[job] = self._started(job, f"xen {job.kind}"), None

    def event(self, job: Job[Any], event: JobEvent) -> None:
        """Go on to the next phase; note a stall."""
        if job not in self._open:
            return
        span, phase = self._open[job]
        if isinstance(event, StallEvent):
            span.add_event("stall", {"signal": event.signal, "action": event.action})
        if isinstance(event, PhaseEvent):
            if phase is not None:
                phase.end()
            above = trace.set_span_in_context(span)
            self._open[job] = span, self._tracer.start_span(event.name, context=above)

    def ended(self, job: Job[Any]) -> None:
        """End the spans, with what became of job and guest."""
        span, phase = self._open.pop(job)
        if phase is not None:
            phase.end()
        span.set_attribute("libxlpy.transferred", job.statistics.transferred)
        _end(span, job)

    def undone(self, job: Job[Any]) -> None:
        """Make a span of a job's undoing: its own one has ended, and well."""
        _end(self._started(job, f"xen {job.kind} undone"), job)

    def _started(self, job: Job[Any], name: str) -> trace.Span:
        attributes: dict[str, str | int] = {
            "libxlpy.job": job.name,
            "libxlpy.domid": job.domid,
        }
        return self._tracer.start_span(name, attributes=attributes)


def _end(span: trace.Span, job: Job[Any]) -> None:
    """End a span, with what became of the job and its guest."""
    if job.error is not None:
        span.set_attribute("libxlpy.guest", job.error.guest.value)
        span.set_attribute("error.type", type(job.error).__name__)
        span.set_status(trace.StatusCode.ERROR, str(job.error))
    span.end()
