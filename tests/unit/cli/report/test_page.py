"""The page tells what there is, is whole by itself, and obeys no name."""

from html.parser import HTMLParser

import pytest

from libxlpy import (
    DomainInfo,
    GuestState,
    Iteration,
    JobReport,
    MigrateResult,
    PhaseEvent,
    PrecopyEvent,
    StatEvent,
    Statistics,
    TimedOut,
)
from libxlpy.cli.report.charts import chart, linear, logarithmic, steps
from libxlpy.cli.report.page import page
from libxlpy.cli.report.story import SAMPLES_MOST, Story

#: Elements without an end.
VOID = {"meta"}
EVIL = "<script>alert('1')</script>&\"\x1b[2J\u202e"
TIMELINE = (
    *(("spawn", 0.0), ("precopy", 0.1), ("suspend", 2.0), ("suspended", 2.1)),
    *(("end", 2.5), ("complete", 2.6), ("report", 2.7), ("moved", 2.8), ("done", 3.0)),
)
HISTORY = (
    *(Iteration(0, 2048, 300, 1.0), Iteration(1, 300, 13, 0.5)),
    Iteration(1, 13, None, 0.25),
)
REPORT = JobReport(
    what="migration of domain 3",
    domid=3,
    guest=GuestState.GONE,
    timeline=TIMELINE,
    duration=3.1,
    repairs=("log-dirty mode off", f"file {EVIL} removed"),
    remarks=(f"hook {EVIL} failed",),
    log_lines=(f"error: xc: {EVIL}",),
    statistics=Statistics(history=HISTORY, transferred=9 << 20, downtime=700.0),
)


class Page(HTMLParser):
    """Reads a page; each element must be closed, and none be of another's making."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.texts: list[str] = []
        self.links: list[str | None] = []
        self.feed(data.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data.strip())


DOMAIN = DomainInfo(
    domid=3,
    uuid="8bd5429e-df3c-4047-bc14-cb63f296871a",
    name=EVIL,
    type="hvm",
    memory_kib=8192,
    vcpus=1,
    cpu_time_ns=0,
    running=True,
    paused=False,
    blocked=False,
    shutdown=False,
    shutdown_reason="",
    dying=False,
    crashed=False,
)


def told() -> Story:
    story = Story("migration", EVIL)
    story.domain = DOMAIN
    story.hear(PhaseEvent("precopy", 0.1))
    for done in (0, 4 << 20, 9 << 20):
        story.hear(StatEvent(0, "libxc", done, 0, 0, -1, 0, 0, 0, 0))
    for number, made in enumerate(HISTORY[:2]):
        story.hear(
            PrecopyEvent(
                iteration=number,
                pages_sent=made.pages_sent,
                seconds=made.seconds,
                dirty_found=made.dirty_found,
                mbps=None,
                expected_downtime=12.0,
                action="go_on",
            )
        )
    return story


def moved() -> Story:
    story = told()
    story.result = MigrateResult(
        domid=3,
        guest=GuestState.GONE,
        timeline=TIMELINE,
        duration=3.1,
        report=REPORT,
        iterations=1,
        pages=2361,
        bytes_written=9 << 20,
        downtime_ns=700_000_000,
        name=EVIL,
        downtime_parts={"guest": 100.0, "hand_over": 50.5},
    )
    story.downtime = 700.0
    return story


def failed() -> Story:
    story = told()
    story.failed = f"migration of {EVIL} failed"
    story.error = TimedOut("total", 4.0)
    story.error.details = REPORT
    return story


def refused() -> Story:
    story = told()
    story.failed = "migration refused: no memory"
    return story


@pytest.mark.parametrize("story", [moved, failed, refused])
def test_page_is_whole_and_harmless(story):
    data = page(story(), [("By", EVIL)])
    read = Page(data)
    assert not read.seen & {"script", "link", "img", "iframe", "object"}
    assert read.links == []
    assert b"http://" not in data
    assert b"https://" not in data
    assert b"url(" not in data
    assert "\x1b" not in data.decode()
    assert "\u202e" not in data.decode()
    assert any("<script>alert('1')</script>&\"" in text for text in read.texts)


def test_migration_that_went_well_is_told_by_its_figures():
    read = Page(page(moved(), []))
    assert {"moved", "700 ms", "hand over", "50.5 ms", "guest suspended"} <= {
        *read.texts
    }
    assert {"2,048", "300", "13", "12 ms", "8.0 MiB", "gone here"} <= {*read.texts}
    assert "svg" in read.seen
    assert "Last log lines" not in read.texts
    assert "All that is known" in read.texts


def test_failure_is_told_with_what_was_repaired():
    read = Page(page(failed(), []))
    assert {"failed", "What was found and repaired", "log-dirty mode off"} <= {
        *read.texts
    }
    assert "Last log lines" in read.texts


def test_what_never_began_has_no_figures():
    read = Page(page(refused(), []))
    assert {"refused", "migration refused: no memory"} <= {*read.texts}
    assert "svg" not in read.seen


def test_story_has_its_points_over_time():
    story = moved()
    assert story.down == (2.1, 2.8)
    assert [pages for _, pages in story.dirty] == [2048, 300, 13, 13]
    assert story.dirty[-1][0] == 2.1
    assert story.parts == [("guest", 100.0), ("hand over", 50.5)]
    failure = failed()
    assert [name for name, _ in failure.parts] == ["suspend", "suspended", "end"]
    assert [round(ms) for _, ms in failure.parts] == [100, 400, 100]


def test_story_of_days_is_bounded():
    story = Story("save", "file")
    for number in range(3 * SAMPLES_MOST):
        story.hear(StatEvent(0, "libxc", number, 0, 0, -1, 0, 0, 0, 0))
    assert len(story.sent) <= SAMPLES_MOST
    assert (story.sent[0][1], story.sent[-1][1]) == (0, 3 * SAMPLES_MOST - 1)


@pytest.mark.parametrize("highest", [1e-6, 0.3, 1, 7, 99, 1e9])
def test_labels_are_round_and_few(highest: float):
    values = steps(highest)
    assert values[0] == 0
    assert 3 <= len(values) <= 8
    assert values[-1] <= highest


@pytest.mark.parametrize(
    "values", [[0.0], [1.0], [0.0, 5.0], [13.0, 2048.0], [1e9] * 3]
)
def test_curve_stays_in_its_frame(values: list[float]):
    points = [(float(at), value) for at, value in enumerate(values)]
    for scale in (logarithmic(values), linear(max(values), "")):
        assert all(0 <= scale.place(value) <= 1.0001 for value in values)
        assert len(scale.ticks()) >= 2
        for marked in (True, False):
            drawn = chart("<what>", points, scale, 9.0, (1.0, 99.0), marked=marked)
            Page(drawn.encode())
            assert "nan" not in drawn


def test_save_s_own_guest_is_what_the_command_left():
    story = moved()
    story.kind, story.guest = "save", "running"
    assert {"running", "saved"} <= {*Page(page(story, [])).texts}
