"""Passes as libxenguest's questions tell them, and what a stop is expected to cost."""

from hypothesis import given
from hypothesis import strategies as st

from libxlpy import PrecopyStats
from libxlpy.policies import Passes, PrecopyView
from libxlpy.policies.view import MEASURED_OVER, expected_pages, rate_of
from libxlpy.results.statistics import Iteration

PAGES = 10_000


def told(*passes: tuple[int, float], last: int = -1) -> PrecopyView:
    """Have passes of so many pages and seconds; the last found so many dirty."""
    known, now, written = Passes(), 100.0, 0
    question = PrecopyStats(0, 0, -1)
    for number, (dirty, seconds) in enumerate(passes):
        question = PrecopyStats(number, written, dirty)
        known.asked(question, now)
        known.answered(question, PAGES, now + 0.5)  # what a policy takes is no pass
        now += 0.5 + seconds
        written += dirty
        question = PrecopyStats(number + 1, written, -1)
        known.asked(question, now)
        known.answered(question, PAGES, now)
        now += 0.25  # the log is read
    if last >= 0:
        question = PrecopyStats(len(passes), written, last)
        known.asked(question, now)
    return known.view(question, PAGES, elapsed=now - 100.0, left=None)


def test_passes_are_those_that_have_ended():
    seen = told((PAGES, 2.0), (1000, 0.25), last=600)
    assert seen.passes == (
        Iteration(0, PAGES, 1000, 2.0),
        Iteration(1, 1000, 600, 0.25),
    )
    assert (seen.iteration, seen.total_written, seen.dirty_count) == (2, 11_000, 600)
    assert seen.rate == 11_000 / 2.25


def test_first_pass_sends_no_more_than_the_guest_has():
    """Its address space has a million frames, of which most are none."""
    seen = told((1 << 20, 2.0), last=10)
    assert seen.passes == (Iteration(0, PAGES, 10, 2.0),)
    assert seen.rate == PAGES / 2.0


def test_what_is_not_known_is_none():
    seen = told()
    assert seen.rate is seen.expected_pages is seen.expected_downtime is None
    seen = told((PAGES, 1.0))
    assert seen.expected_pages is seen.expected_downtime is None
    assert seen.pass_seconds == 0


def test_stop_costs_the_same_before_the_last_pass_and_after_it():
    before = told((PAGES, 1.0), last=1000)
    after = told((PAGES, 1.0), (1000, 0.1))
    assert before.expected_pages == after.expected_pages == 1000
    assert before.expected_downtime == 100.0
    assert before.pass_seconds == 0.1


def test_longer_pass_lets_more_be_written():
    assert expected_pages([Iteration(0, 100, 200, 1.0)], 200, PAGES) == 400
    assert expected_pages([Iteration(0, 100, 200, 1.0)], 200, 300) == 300
    assert expected_pages([Iteration(0, 0, 200, 1.0)], 200, PAGES) == 200


def test_rate_is_not_that_of_the_buffers_on_the_way():
    """A small pass is gone at once; where to, is seen by larger ones only."""
    slow = Iteration(1, MEASURED_OVER, 10, 64.0)
    fast = Iteration(2, 10, 10, 1e-6)
    first = Iteration(0, 50 * MEASURED_OVER, 10, 1.0)
    rate = rate_of([first, slow, fast])
    assert rate is not None
    assert round(rate) == MEASURED_OVER // 64
    assert rate_of([Iteration(0, 0, 0, 0.0)]) is None


@given(
    passes=st.lists(
        st.tuples(st.integers(0, 2 * PAGES), st.floats(0, 100)), max_size=6
    ),
    last=st.integers(-1, PAGES),
)
def test_views_are_consistent(passes: list[tuple[int, float]], last: int):
    seen = told(*passes, last=last)
    assert [each.number for each in seen.passes] == list(range(len(passes)))
    assert seen.rate is None or seen.rate > 0
    if seen.expected_pages is not None:
        assert 0 <= seen.expected_pages <= PAGES
        assert seen.dirty_count < 0 or seen.expected_pages >= min(
            seen.dirty_count, PAGES
        )
