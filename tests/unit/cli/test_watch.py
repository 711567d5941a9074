"""What is shown of the jobs of other processes."""

import io
import json
import re

import pytest

from libxlpy import JobFigures, JobStatus
from libxlpy.cli.terminal.output import Output
from libxlpy.cli.watch import HEADS, Drawn, Lines, cells

#: Colours and cursor movements.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FIGURES = JobFigures(
    iteration=2,
    transferred=3 << 30,
    total=4 << 30,
    remaining=30 << 20,
    dirty_pages=4000,
    dirty_pages_rate=1234.5,
    mbps=838.8608,
    expected_downtime=35.4,
    total_time=1000.0,
)


def status(state: str = "running", figures: JobFigures | None = FIGURES) -> JobStatus:
    what = "save of domain 3"
    return JobStatus("save-3-abc", 3, what, "precopy", 0.0, 1, state, figures)


LINE = (
    "save-3-abc: precopy, pass 2, 3.0 GiB sent, 30.0 MiB left, 100.0 MiB/s, "
    "1,234 pages/s dirtied, expected downtime 35 ms"
)


def test_job_is_one_line_each_time_it_got_on(capsys: pytest.CaptureFixture[str]):
    lines = Lines(Output(), json=False)
    lines.show([status(figures=None)])
    for _ in range(3):
        lines.show([status()])
    lines.show([])
    lines.end()
    assert capsys.readouterr().out.splitlines() == ["save-3-abc: precopy", LINE]


def test_job_is_an_object_with_its_figures(capsys: pytest.CaptureFixture[str]):
    Lines(Output(), json=True).show([status()])
    told = json.loads(capsys.readouterr().out)
    assert (told["job"], told["state"]) == ("save-3-abc", "running")
    assert told["figures"]["expected_downtime"] == 35.4


def test_state_of_a_job_that_does_not_get_on_is_said():
    assert cells(status("lost", None)) == ("save-3-abc", "lost", *[""] * 5)
    assert cells(status("ended"))[1] == "ended"
    unknown = JobFigures()
    assert cells(status(figures=unknown))[-3:] == ("-", "-", "-")
    assert len(cells(status())) == len(HEADS)


class Terminal(io.StringIO):
    """A stdout that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_table_fits_into_80_columns(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    drawn = Drawn()
    drawn.show([status(), status("lost")])
    drawn.end()
    lines = CONTROL.sub("", terminal.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    row = "save-3-abc precopy 2 3.0 GiB 30.0 MiB 100.0 MiB/s 35 ms"
    assert row in [" ".join(line.split()) for line in lines]
