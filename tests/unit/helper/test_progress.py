"""Reports of libxc's progress become few messages, and the right ones."""

import pytest

from libxlpy_helper import stats
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.stats import REPORT_INTERVAL, ProgressReport
from libxlpy_protocol.fields import NAME_MAX
from libxlpy_protocol.messages import Progress


class Told:
    """A report at work, with a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self._outbox = Outbox(lambda: None)
        self.report = ProgressReport(self._outbox)
        monkeypatch.setattr(stats.time, "monotonic", lambda: self.now)

    def messages(self) -> list[tuple[str, int, int]]:
        found = []
        while (entry := self._outbox.take()) is not None:
            assert isinstance(entry.message, Progress)
            found.append(
                (entry.message.doing_what, entry.message.done, entry.message.total)
            )
        return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def test_begin_and_end_are_told_and_little_between(told: Told) -> None:
    seen = []
    for done in range(1001):
        told.report.tell("xc", "Frames", done, 1000)
        told.now += REPORT_INTERVAL / 100
        seen += told.messages()
    assert seen[0] == ("Frames", 0, 1000)
    assert seen[-1] == ("Frames", 1000, 1000)
    assert 10 <= len(seen) <= 13
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_another_thing_is_told_at_once(told: Told) -> None:
    told.report.tell("xc", "Frames iteration 0", 0, 10)
    told.report.tell("xc", "Frames iteration 0", 5, 10)
    told.report.tell("xc", "Frames iteration 1", 0, 4)
    told.report.tell("other", "Frames iteration 1", 0, 4)
    assert [what for what, _, _ in told.messages()] == [
        "Frames iteration 0",
        "Frames iteration 1",
        "Frames iteration 1",
    ]


def test_what_has_no_end_is_always_told(told: Told) -> None:
    for _ in range(3):
        told.report.tell("xc", "Domain now suspended", 0, 0)
        assert told.messages() == [("Domain now suspended", 0, 0)]


def test_names_are_cut(told: Told) -> None:
    told.report.tell("xc", "x" * 1000, 0, 0)
    assert told.messages() == [("x" * NAME_MAX, 0, 0)]
