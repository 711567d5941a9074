"""What a person or a program sees of a job while it runs.

On a terminal the passes of a live copy and a bar, see ``bar``; else one line for each
phase and pass over memory; with ``--json`` one object for each event.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from libxlpy import Statistics
from libxlpy.cli.terminal.output import Output, one_line
from libxlpy.cli.terminal.waiting import waiting_text
from libxlpy.events import (
    JobEvent,
    LogEvent,
    PhaseEvent,
    PrecopyEvent,
    ProgressEvent,
    StallEvent,
)


class View:
    """One way to show a job, entered while it runs; this one shows nothing."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, whatever happened."""

    def started(self, what: str, helper_pid: int) -> None:
        """Show that the job has a helper; comes before all events."""

    def measured(self, figures: Callable[[], Statistics]) -> None:
        """Take what gives the job's figures of any moment; comes before all events."""

    def show(self, event: JobEvent) -> None:
        """Show one event."""


#: Phases that a job which fails enters, too, and whose names sound like success.
WORDS = {"complete": "verdict", "done": "ended"}


class PlainView(View):
    """Facts line by line on stderr."""

    def __init__(self, out: Output, *, verbose: bool) -> None:
        self._out = out
        self._verbose = verbose
        self._pass = ""

    def started(self, what: str, helper_pid: int) -> None:
        """Print which process does it."""
        if self._verbose:
            self._out.note(f"{what} by process {helper_pid}")

    def show(self, event: JobEvent) -> None:
        """Print phases, passes over memory and, if asked for, the log."""
        match event:
            case PhaseEvent(name, at):
                self._out.note(f"{at:9.3f} s  {one_line(WORDS.get(name, name))}")
            case ProgressEvent(_, doing, _, total) if total and doing != self._pass:
                self._pass = doing
                self._out.note(f"             {one_line(doing)}: {total:,} pages")
            case PrecopyEvent():
                self._out.note(pass_text(event))
            case StallEvent():
                self._out.note(waiting_text(event.text))
            case LogEvent() if self._verbose:
                self._out.note(log_text(event))
            case _:
                pass  # too many of them for lines


class JsonView(View):
    """Every event as one JSON object on stdout."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def started(self, what: str, helper_pid: int) -> None:
        """Print what is done and by which process."""
        self._out.json({"event": "started", "what": what, "helper_pid": helper_pid})

    def show(self, event: JobEvent) -> None:
        """Print one event: its kind and its fields."""
        kind = type(event).__name__.removesuffix("Event").lower()
        self._out.json({"event": kind, **vars(event)})


def pass_text(event: PrecopyEvent) -> str:
    """Give the line about a pass that has ended."""
    facts = [f"{event.pages_sent:,} pages sent in {event.seconds:.2f} s"]
    if event.dirty_found is not None:
        facts.append(f"{event.dirty_found:,} dirty since")
    if event.expected_downtime is not None:
        facts.append(f"expected downtime {event.expected_downtime:,.0f} ms")
    if event.action == "held_back":
        facts.append("too long for the time left")
    return f"             pass {event.iteration}: {', '.join(facts)}"


def log_text(event: LogEvent) -> str:
    """Give a log line of libxenguest or of the helper."""
    return f"             {one_line(f'{event.context}: {event.text}')}"
