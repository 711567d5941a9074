"""Watch a job to its end, and say in one line how it ended."""

import asyncio
import os
import sys
from contextlib import suppress
from typing import Literal, TextIO, TypeVar

from libxlpy import Cancelled, GuestState, HelperCrashed, Job, JobError, StallPolicy
from libxlpy.cli.terminal.interrupt import Cancellable, Interrupt
from libxlpy.cli.terminal.output import Output
from libxlpy.cli.terminal.progress import JsonView, PlainView, View
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.signals import signal_name
from libxlpy.cli.terminal.waiting import SOON

Result = TypeVar("Result")

#: For a stream that does not move; what ends it is a deadline.
STREAM = StallPolicy(bytes_age=SOON)
#: Terminals that take back nothing they have shown: lines are for them.
DUMB = ("dumb", "unknown")
#: What a guest's state means for whoever reads the line.
GUESTS = {
    GuestState.RUNNING: "guest is running",
    GuestState.SUSPENDED: "guest is suspended",
    GuestState.PAUSED: "guest is paused",
    GuestState.SHUTDOWN: "guest has shut down",
    GuestState.GONE: "guest is gone",
    GuestState.UNKNOWN: "where the guest is could not be found out",
}


def is_drawn_on(name: Literal["stdout", "stderr"] = "stderr") -> bool:
    """Tell whether one of our streams is a terminal on which is drawn."""
    stream: TextIO | None = getattr(sys, name)
    dumb = os.environ.get("TERM", "").lower() in DUMB
    return stream is not None and stream.isatty() and not dumb


def view_for(settings: Settings, *, what: str, json: bool, pages: int) -> View:
    """Choose the view.

    Args:
        settings: Where to print, and whether log lines, too.
        what: Title of the job.
        json: For a program.
        pages: Pages of the guest, for the bar before anything else is known.
    """
    if json:
        return JsonView(settings.out)
    if is_drawn_on():
        from libxlpy.cli.terminal.bar import BarView  # rich is slow to import

        return BarView(what, pages=pages, verbose=settings.verbose)
    return PlainView(settings.out, verbose=settings.verbose)


async def follow(
    job: Job[Result],
    view: View,
    interrupt: Interrupt,
    ends: Cancellable | None = None,
) -> Result:
    """Show what a job does until it has ended; a signal cancels it.

    Args:
        job: The job.
        view: Where it is shown.
        interrupt: Has the signals.
        ends: What a signal cancels in its place.

    Raises:
        JobError: It failed or was cancelled.
    """
    showing = asyncio.create_task(_show(job, view))
    with interrupt.cancels(ends or job):
        try:
            return await job
        finally:
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing


async def _show(job: Job[Result], view: View) -> None:
    started = False
    view.measured(lambda: job.statistics)
    async for event in job.events():
        if not started and job.helper_pid is not None:
            started = True
            view.started(job.what, job.helper_pid)
        if started:
            view.show(event)


def cause_text(error: JobError, interrupt: Interrupt) -> str:
    """Give what ended a job: ``"failed: ..."``, ``"cancelled by SIGINT"`` or other."""
    if isinstance(error, Cancelled):
        if interrupt.signum is not None:
            return f"cancelled by {signal_name(interrupt.signum)}"
        reason = str(error.args[0])
        return reason if reason.startswith("cancelled") else f"cancelled: {reason}"
    phase = error.details.phase
    during = f" during {phase}" if isinstance(error, HelperCrashed) and phase else ""
    return f"failed: {error.args[0]}{during}"


def print_report(out: Output, error: JobError) -> None:
    """Print all that is known of a failure."""
    for line in error.details.lines():
        out.note(line)
