"""What is shown of a job: lines are facts, the bar survives any order of events."""

import asyncio
import io
import json
import time

import pytest

from libxlpy.cli.terminal.bar import BarView
from libxlpy.cli.terminal.follow import view_for
from libxlpy.cli.terminal.output import Output
from libxlpy.cli.terminal.progress import JsonView, PlainView
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import told_if_long, told_if_stuck
from libxlpy.events import (
    JobEvent,
    LogEvent,
    PhaseEvent,
    PrecopyEvent,
    ProgressEvent,
    StallEvent,
    StatEvent,
)


def stat(iteration: int, done: int = 0, dirty: int = -1) -> StatEvent:
    return StatEvent(0, "libxc", done, done // 4096, iteration, dirty, 0, 0, 0, 0)


EVENTS: list[JobEvent] = [
    PhaseEvent("libxc", 0.25),
    stat(0),
    ProgressEvent("xc", "Frames iteration 0", 10, 100),
    ProgressEvent("xc", "Frames iteration 0", 20, 100),
    stat(1, 4 << 20, 50),
    PrecopyEvent(
        iteration=0,
        pages_sent=100,
        seconds=0.25,
        dirty_found=1600,
        mbps=8.0,
        expected_downtime=1234.0,
        action="held_back",
    ),
    ProgressEvent("xc", "Frames iteration 1", 0, 1600),
    LogEvent(5, -1, "xc", "Saving\ndomain"),
    stat(2, 8 << 20),
    ProgressEvent("xc", "End of stream", 0, 0),
    PhaseEvent("end", 1.5),
]


PASS = (
    "pass 0: 100 pages sent in 0.25 s, 1,600 dirty since, expected downtime 1,234 ms, "
    "too long for the time left"
)


def test_plain_lines_are_phases_and_passes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with PlainView(Output(), verbose=False) as view:
        view.started("save of domain 1", 4711)
        for event in (*EVENTS, PhaseEvent("complete", 1.75), PhaseEvent("done", 2.0)):
            view.show(event)
    assert capsys.readouterr().err.splitlines() == [
        "    0.250 s  libxc",
        "             Frames iteration 0: 100 pages",
        f"             {PASS}",
        "             Frames iteration 1: 1,600 pages",
        "    1.500 s  end",
        "    1.750 s  verdict",  # it may have failed
        "    2.000 s  ended",
    ]


def test_log_lines_come_with_v_only(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainView(Output(), verbose=True) as view:
        view.started("save of domain 1", 4711)
        for event in EVENTS:
            view.show(event)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "save of domain 1 by process 4711"
    assert "             xc: Saving domain" in lines


def test_json_has_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonView(Output()) as view:
        view.started("save of domain 1", 4711)
        for event in EVENTS:
            view.show(event)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(objects) == len(EVENTS) + 1
    assert objects[0]["helper_pid"] == 4711
    assert objects[1] == {"event": "phase", "name": "libxc", "at": 0.25}


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_bar_shows_rate_iteration_and_dirty_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "220")
    view = view_for(
        Settings(Output(), verbose=True), what="save [web]", json=False, pages=100
    )
    assert isinstance(view, BarView)
    with view:
        view.started("save of domain 1", 4711)
        for event in EVENTS:
            view.show(event)
    shown = terminal.getvalue()
    for piece in (
        "save [web]",
        "10%",
        "iteration 1",
        "/s",
        "Saving",
        "1,600 dirty",
        "~1,234 ms down",
    ):
        assert piece in shown
    assert "\x1b[?25h" in shown  # the cursor is given back


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the bar's clock; its terminal is wide enough for everything."""
    clock = Clock()
    monkeypatch.setattr("libxlpy.cli.terminal.bar.time", clock)
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    return clock


def facts_of(view: BarView) -> str:
    """Give what the bar says at its end."""
    return str(view._progress.tasks[0].fields["facts"])


def test_the_rate_is_bytes_over_the_time_since_the_last_measure(clock: Clock) -> None:
    with BarView("save", pages=100, verbose=False) as view:
        clock.now += 2
        view.show(stat(1, 8 << 20))
        assert facts_of(view).startswith("4.0 MiB/s")
        clock.now += 0.1  # too short to measure anything
        view.show(stat(1, 1 << 30))
        assert facts_of(view).startswith("4.0 MiB/s")
        clock.now += 0.4
        view.show(stat(1, 1 << 30))
        assert facts_of(view).startswith("2.0 GiB/s")
        clock.now += 1
        view.show(stat(1, 1 << 30))
        assert facts_of(view).startswith("0 B/s")


def test_the_time_left_is_what_is_left_of_this_pass_at_this_rate(clock: Clock) -> None:
    with BarView("save", pages=10240, verbose=False) as view:
        view.show(ProgressEvent("xc", "Frames iteration 1", 0, 10240))
        assert facts_of(view) == "0 B/s, Frames iteration 1, 10,240 dirty"
        clock.now += 2
        view.show(stat(1, 8 << 20))
        assert facts_of(view).endswith("10,240 dirty, 10 s left")
        view.show(ProgressEvent("xc", "Frames iteration 1", 5120, 10240))
        assert facts_of(view).endswith(", 5 s left")
        view.show(ProgressEvent("xc", "Frames iteration 2", 0, 2048))
        expected = "4.0 MiB/s, Frames iteration 2, 2,048 dirty, 2 s left"
        assert facts_of(view) == expected
        clock.now += 1
        view.show(stat(2, 8 << 20))  # it stands still: nobody knows
        assert facts_of(view) == "0 B/s, Frames iteration 2, 2,048 dirty"


def test_no_terminal_no_bar() -> None:
    view = view_for(Settings(Output()), what="", json=False, pages=0)
    assert isinstance(view, PlainView)
    view = view_for(Settings(Output()), what="", json=True, pages=0)
    assert isinstance(view, JsonView)


# ----- what is waited for -------------------------------------------------------------


STOPPED = StallEvent("bytes_age", 3.0, "warn", "no byte moved for 3 s")


def test_stream_that_stands_is_told(capsys):
    with PlainView(Output(), verbose=False) as view:
        view.show(STOPPED)
    assert capsys.readouterr().err.strip() == "waiting: no byte moved for 3 s"


def test_stream_that_stands_is_told_beside_the_bar(capsys):
    with BarView("save web", pages=4, verbose=False) as view:
        view.show(STOPPED)
    assert "waiting: no byte moved for 3 s" in capsys.readouterr().err


def test_wait_in_a_system_call_is_told_as_well(capsys):
    with told_if_stuck(Output(), "the disk of a", seconds=60.0):
        pass
    assert capsys.readouterr().err == ""
    told = ""
    with told_if_stuck(Output(), "the disk of a", seconds=0.001):
        while not told:
            time.sleep(0.001)
            told = capsys.readouterr().err
    assert told.strip() == "waiting: the disk of a"


async def test_wait_is_told_only_if_it_is_long(capsys):
    with told_if_long(Output(), "the disk of a", seconds=60.0):
        await asyncio.sleep(0)
    assert capsys.readouterr().err == ""
    told = ""
    with told_if_long(Output(), "the disk of a", seconds=0.001):
        while not told:
            await asyncio.sleep(0.001)
            told = capsys.readouterr().err
    assert told.strip() == "waiting: the disk of a"
