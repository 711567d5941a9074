"""`xlpy inspect`, in order of execution.

Read the file, printing records on the way if they are wanted; print what is in it; draw
it; say what is wrong with it.
"""

import json as json_text
import os
import sys
from pathlib import Path

from libxlpy.cli.inspect.facts import (
    Facts,
    config_error,
    file_facts,
    parsed_config,
    record_facts,
)
from libxlpy.cli.inspect.layout import plain, rich
from libxlpy.cli.inspect.memory_picture import picture_of
from libxlpy.cli.inspect.picture import check_png, png, svg
from libxlpy.cli.inspect.text import RECORD_TITLES, printable, record_line, tables
from libxlpy.cli.saved import open_saved, write_out
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.settings import Settings
from libxlpy.streams import RecordRead, StreamEvent
from libxlpy.streams.summary import FileSummary, summarize
from libxlpy_protocol.value import Value


class InspectOptions(Value, kw_only=True):
    """Options of `xlpy inspect`, see `options.looks`."""

    json: bool
    records: bool
    config: bool
    plot: Path | None
    file: Path


def inspect_file(settings: Settings, options: InspectOptions) -> int:
    """Show what is in a file; give the exit status."""
    return _Inspect(settings, options).run()


class _Inspect:
    """One `xlpy inspect`."""

    def __init__(self, settings: Settings, options: InspectOptions) -> None:
        self._out = settings.out
        self._options = options
        self._first = True

    def run(self) -> int:
        self._check_plot()
        summary = self._read()
        self._print(summary)
        if self._options.plot is not None:
            self._draw(summary, self._options.plot)
        return self._verdict(summary)

    # ---- steps, in order -------------------------------------------------------

    def _check_plot(self) -> None:
        plot = self._options.plot
        if plot is None:
            return
        if plot.suffix.lower() == ".png":
            check_png()
        if plot.exists() and plot.samefile(self._options.file):
            raise CommandFailed(f"{plot} is the file to read: draw into another")

    def _read(self) -> FileSummary:
        fd = open_saved(self._out, self._options.file)
        try:
            if self._options.records:
                self._out.fact('{"records":[' if self._options.json else RECORD_TITLES)
            summary = summarize(fd, self._record if self._options.records else None)
        finally:
            os.close(fd)
        if summary.damage is None and summary.failure is None:
            summary.damage = config_error(summary.xl)
        return summary

    def _record(self, event: StreamEvent) -> None:
        """Print a record at once: a list of all may be longer than memory."""
        if not isinstance(event, RecordRead):
            return
        if not self._options.json:
            self._out.fact(record_line(event))
            return
        text = _json(record_facts(event))
        self._out.fact(text if self._first else f",{text}")
        self._first = False

    def _print(self, summary: FileSummary) -> None:
        facts = file_facts(str(self._options.file), summary)
        if self._options.json:
            self._print_json(facts, summary)
            return
        if self._options.records:
            self._out.fact("")
        self._print_tables(facts)
        if self._options.config:
            self._print_config(summary)

    def _print_json(self, facts: Facts, summary: FileSummary) -> None:
        if self._options.config and summary.xl is not None and summary.xl.config:
            text = summary.xl.config.decode()
            facts["whole_config"] = parsed_config(summary.xl) or text
        if self._options.records:
            self._out.fact("]," + _json(facts)[1:])
        else:
            self._out.json(facts)

    def _print_tables(self, facts: Facts) -> None:
        terminal = sys.stdout is not None and sys.stdout.isatty()
        for number, table in enumerate(tables(facts)):
            if number:
                self._out.fact("")
            for line in [rich(table)] if terminal else plain(table):
                self._out.fact(line)

    def _print_config(self, summary: FileSummary) -> None:
        if summary.xl is None or not summary.xl.config:
            return
        config = parsed_config(summary.xl)
        text = json_text.dumps(config, indent=4) if config else ""
        self._out.fact("\nConfiguration")
        for line in (text or summary.xl.config.decode()).splitlines():
            self._out.fact(f"  {printable(line)}".rstrip())

    def _draw(self, summary: FileSummary, path: Path) -> None:
        if summary.frames.highest < 0 and (summary.damage or summary.failure):
            return  # the damage says why there is nothing to draw
        picture = picture_of(summary, self._options.file.name)
        make = png if path.suffix.lower() == ".png" else svg
        write_out(path, make(picture))

    def _verdict(self, summary: FileSummary) -> int:
        if summary.failure is not None:
            text = f"reading failed at {summary.size}: {summary.failure.strerror}"
        elif summary.damage is not None:
            text = str(summary.damage)
        else:
            return GOOD
        raise CommandFailed(f"{self._options.file}: {text}")


def _json(facts: Facts) -> str:
    return json_text.dumps(facts, separators=(",", ":"))
