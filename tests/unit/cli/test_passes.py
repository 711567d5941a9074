"""The table and the curve of a live copy: true to its figures, and never too wide."""

import io
import re

import pytest

from libxlpy import Iteration, Statistics
from libxlpy.cli.terminal.bar import BarView
from libxlpy.cli.terminal.follow import view_for
from libxlpy.cli.terminal.output import Output
from libxlpy.cli.terminal.passes import ASCII, BLOCKS, Passes, columns, floor
from libxlpy.cli.terminal.progress import PlainView
from libxlpy.cli.terminal.settings import Settings
from libxlpy.events import JobEvent, PhaseEvent, PrecopyEvent, ProgressEvent

#: Colours and cursor movements.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MADE = (
    Iteration(0, 2048, 300, 0.5),
    Iteration(1, 300, 13, 0.25),
    Iteration(1, 13, None, 0.0),
)


def frames(number: int, done: int, total: int) -> ProgressEvent:
    return ProgressEvent("xc", f"Frames iteration {number}", done, total)


def looked_at(number: int, expected: float | None) -> PrecopyEvent:
    return PrecopyEvent(
        iteration=number,
        pages_sent=1,
        seconds=1.0,
        dirty_found=1,
        mbps=None,
        expected_downtime=expected,
        action="go_on",
    )


#: Event -> how many passes have ended by then.
STORY: list[tuple[JobEvent, int]] = [
    (frames(0, 1024, 2048), 0),
    (frames(0, 2048, 2048), 0),
    (looked_at(0, 41.5), 0),
    (frames(1, 0, 300), 1),
    (PhaseEvent("suspended", 1.0), 1),
    (frames(1, 0, 13), 2),
]


def told(passes: Passes, upto: int) -> None:
    for event, ended in STORY[:upto]:
        passes.take(event, Statistics(history=MADE[:ended], mbps=8.388608))


def test_pass_under_way_stands_last():
    passes = Passes()
    assert not passes
    told(passes, 1)
    assert passes.rows(9) == [("0", "1,024", "", "1.0 MiB/s", "")]
    told(passes, 4)
    assert passes.rows(9) == [
        ("0", "2,048", "300", "16.0 MiB/s", "42 ms"),
        ("1", "0", "", "1.0 MiB/s", ""),
    ]


def test_pass_while_the_guest_is_suspended_is_named_so():
    passes = Passes()
    told(passes, 6)
    live = [
        ("0", "2,048", "300", "16.0 MiB/s", "42 ms"),
        ("1", "300", "13", "4.7 MiB/s", "-"),
    ]
    assert passes.rows(9) == [*live, ("down", "0", "", "1.0 MiB/s", "")]
    passes.take(PhaseEvent("done", 2.0), Statistics(history=MADE))
    down = ("down", "13", "-", "-", "-")
    assert passes.rows(9) == [*live, down]
    passes.end(Statistics(history=MADE))
    assert passes.rows(9) == [*live, down]
    assert passes.rows(2) == [live[1], down]


def test_save_that_is_not_live_has_no_passes():
    passes = Passes()
    figures = Statistics(history=(Iteration(0, 2048, None, 1.0),))
    for event in (PhaseEvent("suspended", 0.1), ProgressEvent("xc", "Frames", 1, 2)):
        passes.take(event, figures)
    passes.end(figures)
    assert not passes


def test_curve_begins_with_the_second_pass_that_was_looked_at():
    passes = Passes()
    told(passes, 4)
    assert passes.curve(80, 4, "utf-8") == []
    told(passes, 6)
    assert passes.curve(80, 4, "utf-8")[0] == "300 ██████"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "koi8-r", "no-such"])
def test_blocks_are_drawn_where_they_can_be_shown_only(encoding: str):
    passes = Passes()
    told(passes, 6)
    assert "".join(passes.curve(80, 4, encoding)).isascii()


@pytest.mark.parametrize("width", [8, 20, 60, 80, 200])
@pytest.mark.parametrize("count", [1, 2, 10, 60, 200])
@pytest.mark.parametrize("ink", [BLOCKS, ASCII])
def test_columns_fit_whatever_their_number(width: int, count: int, ink: str):
    values = [2**20 >> number % 21 for number in range(count)]
    lines = columns(values, max(width, 12), 4, ink)
    assert len(lines) == 5
    assert max(map(len, lines)) <= max(width, 12)
    assert lines[0].startswith("1,048,576")


def test_columns_are_logarithmic_and_what_is_not_nothing_is_seen():
    lines = columns([10000, 100, 1, 0], 80, 4, BLOCKS)
    heights = [
        sum(BLOCKS.index(line.ljust(80)[7 * place + 7]) for line in lines[:4])
        for place in range(4)
    ]
    assert heights == [32, 16, 1, 0]
    assert (floor([60, 500]), floor([100]), floor([0, 3]), floor([0])) == (10, 10, 1, 0)
    assert columns([0, 0], 40, 4, BLOCKS)[0] == "0"


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Latin(io.TextIOWrapper):
    """A terminal that shows Latin-1 only, as Python opens it."""

    def __init__(self) -> None:
        self.raw_bytes = io.BytesIO()
        super().__init__(self.raw_bytes, encoding="latin-1", errors="backslashreplace")

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [60, 80])
def test_nothing_is_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch
):
    terminal = Latin()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    figures = Statistics(mbps=8000.0)
    with BarView("migrate \u0436eb" + 70 * "x", pages=9, verbose=True) as view:
        view.measured(lambda: figures)
        for event, ended in STORY:
            figures = Statistics(history=MADE[:ended], mbps=8000.0)
            view.show(event)
        figures = Statistics(history=MADE)
    terminal.flush()
    shown = terminal.raw_bytes.getvalue().decode("latin-1")
    assert "\\u2026" not in shown
    lines = [line.rpartition("\r")[2] for line in CONTROL.sub("", shown).split("\n")]
    assert max(map(len, lines)) <= width
    passes = [line.split() for line in lines[-11:-6]]
    assert passes[:2] == [["expected"], ["pass", "sent", "dirty", "rate", "downtime"]]
    assert passes[-1] == ["down", "13", "-", "-", "-"]


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_terminal_that_takes_nothing_back_gets_lines(
    term: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", term)
    view = view_for(Settings(Output()), what="", json=False, pages=0)
    assert isinstance(view, PlainView)
