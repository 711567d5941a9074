"""What a job shows on a terminal: the passes of a live copy, and a bar below them."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from libxlpy import Statistics
from libxlpy.cli.terminal.output import one_line, sayable, size_text
from libxlpy.cli.terminal.passes import HEADS, Passes
from libxlpy.cli.terminal.progress import View, log_text
from libxlpy.cli.terminal.table import cut, table
from libxlpy.cli.terminal.waiting import waiting_text
from libxlpy.events import (
    JobEvent,
    LogEvent,
    PhaseEvent,
    PrecopyEvent,
    ProgressEvent,
    StallEvent,
    StatEvent,
)
from libxlpy_protocol.xen import PAGE_SIZE

#: Seconds; a rate over less than this is noise.
MEASURED_OVER: Final = 0.3
#: Lines of the curve, and those that table, curve and bar have beside the passes.
CURVE: Final = 4
BESIDE: Final = 12
#: Columns in which the bar has room for what the table tells, too.
ROOM: Final = 100
#: Passes shown: at least, and at most however high the terminal.
FEWEST, MOST = 3, 12


class BarView(View):
    """At the bottom of the terminal; drawn when something happens.

    The bar is taken away at the end, the passes stay.
    """

    def __init__(self, what: str, *, pages: int, verbose: bool) -> None:
        self._pages = pages
        self._pass = ""
        #: Milliseconds to be expected, while passes are made.
        self._downtime: float | None = None
        self._verbose = verbose
        self._last = (time.monotonic(), 0)
        self._rate = 0.0
        self._passes = Passes()
        self._figures: Callable[[], Statistics] | None = None
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", table_column=cut()),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%", table_column=cut()),
            TextColumn("{task.fields[facts]}", table_column=cut()),
            console=self._console,
            auto_refresh=False,
        )
        self._task = self._progress.add_task(_text(what), total=pages or None, facts="")
        # no thread: the helper reports twice a second, that is when it is drawn
        self._live = Live(
            get_renderable=self._drawn,
            console=self._console,
            auto_refresh=False,
            transient=True,
        )

    def __enter__(self) -> Self:
        """Draw the empty bar."""
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away and give the cursor back; say what passes there were."""
        self._passes.end(self._figures() if self._figures is not None else None)
        self._live.stop()
        if self._passes:
            self._console.print(self._table())

    def measured(self, figures: Callable[[], Statistics]) -> None:
        """See the base class."""
        self._figures = figures

    def started(self, what: str, helper_pid: int) -> None:
        """Print which process does it."""
        if self._verbose:
            self._console.print(f"{_text(what)} by process {helper_pid}")

    def show(self, event: JobEvent) -> None:
        """Redraw with what is new."""
        self._passes.take(event, self._figures() if self._figures else None)
        match event:
            case PhaseEvent(name):
                self._downtime = None
                self._update(facts=_text(name))
            case ProgressEvent(_, doing, done, total) if total:
                self._progress.update(self._task, completed=done, total=total)
                self._pass, self._pages = doing, total
                self._update(facts=self._facts())
            case StatEvent():
                self._measure(event)
                self._update(facts=self._facts())
            case PrecopyEvent():
                self._downtime = event.expected_downtime
                self._update(facts=self._facts())
            case StallEvent():
                self._console.print(_text(waiting_text(event.text)))
            case LogEvent() if self._verbose:
                self._console.print(_text(log_text(event)))
            case _:
                pass

    def _update(self, *, facts: str) -> None:
        self._progress.update(self._task, facts=facts)
        self._live.refresh()

    def _drawn(self) -> RenderableType:
        if not self._passes:
            return self._progress
        return Group(self._table(), self._progress)

    def _table(self) -> RenderableType:
        """Give the passes and, below them, how they converge."""
        most = min(max(self._console.height - BESIDE, FEWEST), MOST)
        width, encoding = self._console.width, self._console.encoding
        curve = self._passes.curve(width, CURVE, encoding)
        rows = table(HEADS, self._passes.rows(most))
        return Group(rows, *(Text(line, no_wrap=True) for line in curve))

    def _facts(self) -> str:
        facts = [f"{size_text(self._rate)}/s"]
        told_above = self._passes and self._console.width < ROOM
        if self._pass and not told_above:
            # each iteration sends what was dirty when it began
            kind = "dirty" if "iteration" in self._pass else "pages"
            facts += [_text(self._pass), f"{self._pages:,} {kind}"]
        left = self._seconds_left()
        if left is not None and (left >= 1 or self._downtime is None):
            facts.append(f"{left:.0f} s left")
        if self._downtime is not None and not told_above:
            facts.append(f"~{self._downtime:,.0f} ms down")
        return ", ".join(facts)

    def _measure(self, stat: StatEvent) -> None:
        """Take the rate since the last measure, if that is long enough ago."""
        now = time.monotonic()
        before, sent = self._last
        if now - before >= MEASURED_OVER:
            self._rate = max(stat.bytes_done - sent, 0) / (now - before)
            self._last = (now, stat.bytes_done)

    def _seconds_left(self) -> float | None:
        """Estimate the end of this iteration; later ones are smaller."""
        task = self._progress.tasks[self._task]
        if self._rate <= 0 or task.total is None:
            return None
        return (task.total - task.completed) * PAGE_SIZE / self._rate


def _text(said: str) -> str:
    """Give one line of anybody's so that the terminal shows it as it is."""
    shown = (
        one_line(said) if sys.stderr is None else sayable(one_line(said), sys.stderr)
    )
    return escape(shown)
