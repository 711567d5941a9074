"""Metrics and spans of real jobs, by the real libraries; and without them."""

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from libxlpy import Context, GuestTimedOut, SuspendFlags
from libxlpy.telemetry.metrics import Metrics
from libxlpy.telemetry.spans import Spans
from tests.support.guest import Guest, saved_and_resumed, undone

LIVE = SuspendFlags.LIVE


async def fail(ctx: Context, guest: Guest) -> None:
    """Have a save fail."""
    guest.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null, pytest.raises(GuestTimedOut):
        await (await ctx.domain_suspend(guest.domid, null.fileno(), LIVE))


# ----- Prometheus ---------------------------------------------------------------------


def samples(registry: CollectorRegistry) -> dict[str, float]:
    """Give what a scrape gets, as a scraper reads it."""
    text = generate_latest(registry).decode()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_of_jobs(ctx: Context, pv: Guest):
    registry = CollectorRegistry()
    ctx.watch(Metrics(registry))
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
        assert samples(registry)["libxlpy_jobs_running save"] == 1
        result = await job
    await ctx.domain_resume(pv.domid)
    found = samples(registry)
    assert found["libxlpy_jobs_running save"] == 0
    assert found["libxlpy_jobs_total save Completed"] == 1
    assert found["libxlpy_stream_bytes_total save"] == result.bytes_written
    assert found["libxlpy_downtime_seconds_count save"] == 1
    downtime = found["libxlpy_downtime_seconds_sum save"]
    assert downtime == pytest.approx(result.downtime_ns / 1e9, rel=0.01)
    duration = found["libxlpy_job_duration_seconds_sum save"]
    assert downtime < duration <= result.duration
    await fail(ctx, pv)
    found = samples(registry)
    assert found["libxlpy_jobs_total save GuestTimedOut"] == 1
    assert found["libxlpy_downtime_seconds_count save"] == 1
    assert found["libxlpy_job_duration_seconds_count save"] == 2


async def test_late_undo_is_counted(ctx: Context, pv: Guest):
    registry = CollectorRegistry()
    ctx.watch(Metrics(registry))
    await undone(ctx, pv)
    found = samples(registry)
    assert found["libxlpy_jobs_total save Completed"] == 1
    assert found["libxlpy_jobs_undone_total save"] == 1
    assert found["libxlpy_jobs_running save"] == 0


# ----- OpenTelemetry ------------------------------------------------------------------


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


async def test_spans_of_a_job(ctx: Context, pv: Guest, provider, exporter):
    ctx.watch(Spans(provider))
    with provider.get_tracer("test").start_as_current_span("request") as request:
        result = await (await saved_and_resumed(ctx, pv))
    spans = {span.name: span for span in exporter.get_finished_spans()}
    job = spans["xen save"]
    assert job.parent.span_id == request.get_span_context().span_id
    assert job.attributes["libxlpy.domid"] == pv.domid
    assert job.attributes["libxlpy.transferred"] == result.bytes_written
    assert job.attributes["libxlpy.job"].startswith(f"save-{pv.domid}-")
    assert job.status.status_code is StatusCode.UNSET
    phases = [name for name, _ in result.timeline]
    assert {"hello", "suspend", "flush"} <= set(phases)
    below = [
        span.name
        for span in exporter.get_finished_spans()
        if span.parent is not None and span.parent.span_id == job.context.span_id
    ]
    assert below == phases


async def test_span_of_a_failure(ctx: Context, pv: Guest, provider, exporter):
    ctx.watch(Spans(provider))
    await fail(ctx, pv)
    job = exporter.get_finished_spans()[-1]
    assert job.name == "xen save"
    assert job.status.status_code is StatusCode.ERROR
    assert f"save of domain {pv.domid}: " in job.status.description
    assert job.attributes["error.type"] == "GuestTimedOut"
    assert job.attributes["libxlpy.guest"] == "running"


async def test_span_of_a_late_undo(ctx: Context, pv: Guest, provider, exporter):
    ctx.watch(Spans(provider))
    job = await undone(ctx, pv)
    *_, ended, undo = exporter.get_finished_spans()
    assert (ended.name, undo.name) == ("xen save", "xen save undone")
    assert ended.status.status_code is StatusCode.UNSET
    assert undo.attributes["libxlpy.job"] == job.name
    assert undo.attributes["libxlpy.guest"] == "running"
    assert undo.status.description == str(job.error)


async def test_api_alone_costs_and_makes_nothing(ctx: Context, pv: Guest):
    ctx.watch(Spans())
    result = await (await saved_and_resumed(ctx, pv))
    assert result.pages


# ----- without the libraries ----------------------------------------------------------


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_nothing_else_imports_them():
    done = run(
        "import sys, libxlpy.cli.app, libxlpy.supervision\nfrom libxlpy import *\n"
        "sys.exit(bool({'prometheus_client', 'opentelemetry'} & set(sys.modules)))"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("metrics", "prometheus_client", "libxlpy[prometheus]"),
        ("spans", "opentelemetry", "libxlpy[opentelemetry]"),
    ],
)
def test_missing_library_is_one_clear_error(module, library, extra):
    done = run(
        f"import sys; sys.modules['{library}'] = None\n"
        "from libxlpy import UsageError\n"
        f"try: import libxlpy.telemetry.{module}\n"
        "except UsageError as exc: print(exc)"
    )
    assert done.stdout.count("\n") == 1, done.stderr
    assert f"pip install '{extra}'" in done.stdout
