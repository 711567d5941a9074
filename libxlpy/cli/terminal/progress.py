"""What a person or a program sees of a job while it runs.

On a terminal a bar with rate, iteration, dirty pages and time left; else one line for
each phase and pass over memory; with ``--json`` one object for each event.
"""

import sys
from dataclasses import asdict
from types import TracebackType
from typing import Protocol, Self

from libxlpy.cli.terminal.output import Output, one_line
from libxlpy.events import JobEvent, LogEvent, PhaseEvent, ProgressEvent

PAGE_SIZE = 4096


class View(Protocol):
    """One way to show a job."""

    def started(self, what: str, helper_pid: int | None) -> None:
        """Show that the job has a helper; comes before all events."""
        ...

    def show(self, event: JobEvent) -> None:
        """Show one event."""
        ...

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, whatever happened."""
        ...


class PlainView:
    """Facts line by line on stderr."""

    def __init__(self, out: Output, *, verbose: bool) -> None:
        self._out = out
        self._verbose = verbose
        self._pass = ""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""

    def started(self, what: str, helper_pid: int | None) -> None:
        """Print which process does it."""
        if self._verbose:
            self._out.note(f"{what} by process {helper_pid}")

    def show(self, event: JobEvent) -> None:
        """Print phases, passes over memory and, if asked for, the log."""
        match event:
            case PhaseEvent(name, at):
                self._out.note(f"{at:9.3f} s  {one_line(name)}")
            case ProgressEvent(_, doing, _, total) if total and doing != self._pass:
                self._pass = doing
                self._out.note(f"             {one_line(doing)}: {total:,} pages")
            case LogEvent() if self._verbose:
                self._out.note(log_text(event))
            case _:
                pass  # too many of them for lines


class JsonView:
    """Every event as one JSON object on stdout."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""

    def started(self, what: str, helper_pid: int | None) -> None:
        """Print what is done and by which process."""
        self._out.json({"event": "started", "what": what, "helper_pid": helper_pid})

    def show(self, event: JobEvent) -> None:
        """Print one event: its kind and its fields."""
        kind = type(event).__name__.removesuffix("Event").lower()
        self._out.json({"event": kind, **asdict(event)})


def log_text(event: LogEvent) -> str:
    """Give a log line of libxenguest or of the helper."""
    return f"             {one_line(f'{event.context}: {event.text}')}"


def view_for(out: Output, *, what: str, json: bool, verbose: bool, pages: int) -> View:
    """Choose the view.

    Args:
        out: Where to print.
        what: Title of the job.
        json: For a program.
        verbose: Log lines, too.
        pages: Pages of the guest, for the bar before anything else is known.
    """
    if json:
        return JsonView(out)
    if sys.stderr is not None and sys.stderr.isatty():
        from libxlpy.cli.terminal.bar import BarView  # rich is slow to import

        return BarView(what, pages=pages, verbose=verbose)
    return PlainView(out, verbose=verbose)
