"""`xlpy jobs --watch`: how far jobs are, until none is left or Ctrl-C comes.

On a terminal a table that is drawn anew; else a line for each job that got on; with
``--json`` an object. All of it on stdout: it was asked for.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from libxlpy import Context, JobStatus
from libxlpy.cli.terminal.follow import is_drawn_on
from libxlpy.cli.terminal.interrupt import run
from libxlpy.cli.terminal.outcome import GOOD
from libxlpy.cli.terminal.output import Output, one_line, size_text
from libxlpy.cli.terminal.settings import Settings

#: Seconds between two looks; jobs tell twice a second how far they are.
EVERY: Final = 1.0
HEADS: Final = ("job", "phase", "pass", "sent", "left", "rate", "expected\ndowntime")
#: State of a job whose process has died: it does not get on any more.
LOST: Final = "lost"

Row = tuple[str, ...]


class Lines:
    """A line for each job that got on since it was last looked at."""

    def __init__(self, out: Output, *, json: bool) -> None:
        self._out = out
        self._json = json
        self._told: dict[str, JobStatus] = {}

    def show(self, jobs: Sequence[JobStatus]) -> None:
        """Print those of which something is new."""
        for job in jobs:
            if self._told.get(job.job) == job:
                continue
            if self._json:
                self._out.json(job)
            else:
                self._out.fact(line_of(job))
        self._told = {job.job: job for job in jobs}

    def end(self) -> None:
        """Leave what was printed."""


class Drawn:
    """A table on a terminal, taken away at the end."""

    def __init__(self) -> None:
        from libxlpy.cli.terminal.table import LiveTable  # rich is slow to import

        self._table = LiveTable(HEADS, left=2)

    def show(self, jobs: Sequence[JobStatus]) -> None:
        """Draw all of them."""
        self._table.draw([cells(job) for job in jobs])

    def end(self) -> None:
        """Take it away and give the cursor back."""
        self._table.end()


def watch_jobs(settings: Settings, *, json: bool) -> int:
    """Show all jobs until none is left that gets on; give the exit status."""
    view = (
        Drawn()
        if is_drawn_on("stdout") and not json
        else Lines(settings.out, json=json)
    )
    try:
        lost = run(settings.signals, lambda _: _watch(settings, view))
    finally:
        view.end()
    text = f"; {lost} lost: use `xlpy recover`" if lost else ""
    settings.out.note(f"no job is left{text}")
    return GOOD


async def _watch(settings: Settings, view: Lines | Drawn) -> int:
    """Look again and again; give how many lost jobs there are in the end."""
    async with Context(settings.backend, settings.host) as ctx:
        while True:
            jobs = await ctx.list_jobs()
            view.show(jobs)
            if all(job.state == LOST for job in jobs):
                return len(jobs)
            await asyncio.sleep(EVERY)


def cells(job: JobStatus) -> Row:
    """Give one job as cells below HEADS."""
    phase = one_line(job.phase) if job.state == "running" else job.state
    figures = job.figures
    if figures is None:
        return (one_line(job.job), phase, *[""] * (len(HEADS) - 2))
    rate, expected = figures.mbps, figures.expected_downtime
    return (
        one_line(job.job),
        phase,
        str(figures.iteration),
        size_text(figures.transferred),
        size_text(figures.remaining) if figures.total else "-",
        "-" if rate is None else f"{size_text(rate * 1e6 / 8)}/s",
        "-" if expected is None else f"{expected:,.0f} ms",
    )


def line_of(job: JobStatus) -> str:
    """Give one job as a line."""
    name, phase, *rest = cells(job)
    if job.figures is None:
        return f"{name}: {phase}"
    number, sent, left, rate, expected = rest
    dirty = job.figures.dirty_pages_rate
    written = "" if dirty is None else f", {dirty:,.0f} pages/s dirtied"
    passes = f"pass {number}, {sent} sent, {left} left, {rate}{written}"
    return f"{name}: {phase}, {passes}, expected downtime {expected}"
