"""The bar that a job shows on a terminal."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from libxlpy.cli.terminal.output import one_line, size_text
from libxlpy.cli.terminal.progress import View, log_text, waiting_text
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
MEASURED_OVER = 0.3


class BarView(View):
    """One line at the bottom of the terminal; drawn when something happens."""

    def __init__(self, what: str, *, pages: int, verbose: bool) -> None:
        self._pages = pages
        self._pass = ""
        #: Milliseconds to be expected, while passes are made.
        self._downtime: float | None = None
        self._verbose = verbose
        self._last = (time.monotonic(), 0)
        self._rate = 0.0
        # no thread: the helper reports twice a second, that is when it is drawn
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[facts]}"),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task(
            escape(one_line(what)), total=pages or None, facts=""
        )

    def __enter__(self) -> Self:
        """Draw the empty bar."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away and give the cursor back."""
        self._progress.stop()

    def started(self, what: str, helper_pid: int) -> None:
        """Print which process does it."""
        if self._verbose:
            self._progress.console.print(
                f"{escape(one_line(what))} by process {helper_pid}"
            )

    def show(self, event: JobEvent) -> None:
        """Redraw with what is new."""
        match event:
            case PhaseEvent(name):
                self._downtime = None
                self._update(facts=escape(one_line(name)))
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
                self._progress.console.print(escape(waiting_text(event.text)))
            case LogEvent() if self._verbose:
                self._progress.console.print(escape(log_text(event)))
            case _:
                pass

    def _update(self, *, facts: str) -> None:
        self._progress.update(self._task, facts=facts)
        self._progress.refresh()

    def _facts(self) -> str:
        facts = [f"{size_text(self._rate)}/s"]
        if self._pass:
            # each iteration sends what was dirty when it began
            kind = "dirty" if "iteration" in self._pass else "pages"
            facts += [escape(one_line(self._pass)), f"{self._pages:,} {kind}"]
        left = self._seconds_left()
        if left is not None and (left >= 1 or self._downtime is None):
            facts.append(f"{left:.0f} s left")
        if self._downtime is not None:
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
