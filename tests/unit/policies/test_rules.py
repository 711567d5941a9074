"""Each policy, by tables; and what holds for all that they may see."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libxlpy import PrecopyAnswer, UsageError, policies
from libxlpy.policies import OnTimeout, PrecopyView
from libxlpy.results.statistics import Iteration

GO_ON = PrecopyAnswer.GO_ON
STOP = PrecopyAnswer.STOP_AND_COPY
ABORT = PrecopyAnswer.ABORT


def view(
    dirty: int,
    *,
    iteration: int = 1,
    found: tuple[int, ...] = (),
    rate: float | None = 1000.0,
    pages: int | None = None,
    elapsed: float = 0.0,
    left: float | None = None,
) -> PrecopyView:
    """Make a view; expected are ``pages``, at a rate of 1000 pages a second."""
    passes = tuple(Iteration(n, 1, count, 1.0) for n, count in enumerate(found))
    return PrecopyView(
        iteration=iteration,
        total_written=1,
        dirty_count=dirty,
        passes=passes,
        rate=rate,
        expected_pages=pages,
        elapsed=elapsed,
        left=left,
    )


#: (dirty, passes that have ended) -> libxenguest's own answer.
XEN = {
    (2048, 0): GO_ON,
    (-1, 1): GO_ON,
    (49, 1): STOP,
    (50, 1): GO_ON,
    (2048, 4): GO_ON,
    (2048, 5): STOP,
    (-1, 5): STOP,
}


@pytest.mark.parametrize("seen", XEN)
def test_xen_is_libxc_s_own(seen: tuple[int, int]):
    dirty, iteration = seen
    assert policies.Xen().decide(view(dirty, iteration=iteration)) == XEN[seen]


#: (dirty, passes that have ended) -> the answer of one that gives up a busy guest.
BUSY = {(300, 1): GO_ON, (99, 1): STOP, (99, 3): STOP, (100, 3): ABORT, (-1, 3): GO_ON}


@pytest.mark.parametrize("seen", BUSY)
def test_xen_gives_up_a_busy_guest_once_it_knows_that_it_is(seen: tuple[int, int]):
    dirty, iteration = seen
    policy = policies.Xen(max_iters=3, min_remaining=100, abort_if_busy=True)
    assert policy.decide(view(dirty, iteration=iteration)) == BUSY[seen]


#: (dirty, pages expected) -> what a budget of 300 ms says, at 1000 pages a second.
BUDGET = {
    (5000, None): GO_ON,
    (300, 301): GO_ON,
    (300, 300): STOP,
    (-1, 1): GO_ON,
    (0, 5000): STOP,
}


@pytest.mark.parametrize("seen", BUDGET)
def test_budget_stops_once_the_pause_fits(seen: tuple[int, int | None]):
    dirty, pages = seen
    policy = policies.DowntimeBudget(300)
    assert policy.decide(view(dirty, pages=pages)) == BUDGET[seen]


def test_budget_believes_a_bandwidth_that_is_known():
    seen = view(600, pages=600, rate=1000.0)  # 600 ms as measured
    known = policies.DowntimeBudget(300, bandwidth=2000 * 4096)
    assert policies.DowntimeBudget(300).decide(seen) == GO_ON
    assert known.decide(seen) == STOP
    assert known.decide(view(600, pages=600, rate=None)) == STOP


#: Dirty pages that passes found -> what a local minimum says (of one, of two passes).
MINIMUM = {
    (100,): (GO_ON, GO_ON),
    (100, 50, 40): (GO_ON, GO_ON),
    (100, 50, 50): (STOP, GO_ON),
    (100, 50, 60): (STOP, GO_ON),
    (100, 50, 60, 55): (STOP, STOP),
    (100, 50, 60, 40): (GO_ON, GO_ON),
    (100, 0): (STOP, STOP),
}


@pytest.mark.parametrize("found", MINIMUM)
def test_local_minimum_stops_when_passes_get_no_smaller(found: tuple[int, ...]):
    seen = view(found[-1], found=found)
    answers = tuple(policies.LocalMinimum(n).decide(seen) for n in (1, 2))
    assert answers == MINIMUM[found]
    assert policies.LocalMinimum().decide(view(-1, found=found)) == GO_ON


#: (seconds gone of 10, dirty, pages expected, passes) -> (if STOP, if CANCEL); at 1000
#: pages a second, over Xen's own policy, which stops after 5 passes.
DEADLINE = {
    (5.0, 1000, 1000, 1): (GO_ON, GO_ON),
    (9.0, 999, 999, 1): (GO_ON, GO_ON),
    (9.0, 1000, 1000, 1): (STOP, GO_ON),  # the next pass is the last that begins
    (10.0, -1, None, 1): (STOP, ABORT),
    (11.0, 40, 40, 1): (STOP, ABORT),
    (1.0, 1000, 4000, 5): (STOP, STOP),
    (1.0, 1000, 4001, 5): (STOP, GO_ON),  # 1 s for the pass, twice 4.001 s for it
    (9.0, 2000, None, 5): (STOP, STOP),
}


@pytest.mark.parametrize("seen", DEADLINE)
def test_deadline_ends_another_policy(seen: tuple[float, int, int | None, int]):
    elapsed, dirty, pages, iteration = seen
    looked_at = view(dirty, pages=pages, iteration=iteration, elapsed=elapsed)
    answers = tuple(
        policies.Deadline(10, on_timeout).decide(looked_at)
        for on_timeout in (OnTimeout.STOP, OnTimeout.CANCEL)
    )
    assert answers == DEADLINE[seen]


def test_first_that_does_not_go_on_decides():
    busy = policies.Xen(max_iters=2, abort_if_busy=True)
    both = policies.FirstOf(policies.DowntimeBudget(100), busy)
    assert both.decide(view(99, iteration=2, pages=99)) == STOP
    assert both.decide(view(200, iteration=1, pages=200)) == GO_ON
    assert both.decide(view(200, iteration=2, pages=200)) == ABORT
    assert both == policies.FirstOf(policies.DowntimeBudget(100), busy)


REFUSED: dict[str, Callable[[], object]] = {
    "no budget": lambda: policies.DowntimeBudget(0),
    "endless budget": lambda: policies.DowntimeBudget(float("inf")),
    "bandwidth": lambda: policies.DowntimeBudget(1, bandwidth=-1),
    "passes": lambda: policies.LocalMinimum(0),
    "max_iters": lambda: policies.Xen(max_iters=-1),
    "min_remaining": lambda: policies.Xen(min_remaining=1.5),  # type: ignore[arg-type]
    "deadline": lambda: policies.Deadline(0),
    "on_timeout": lambda: policies.Deadline(1, "stop"),  # type: ignore[arg-type]
    "coroutine": lambda: policies.Deadline(1, policy=print),  # type: ignore[arg-type]
    "none of": policies.FirstOf,
    "coroutine of": lambda: policies.FirstOf(print),  # type: ignore[arg-type]
    "number": lambda: policies.checked_policy(300),
    "class": lambda: policies.checked_policy(policies.Xen),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_policy_is_refused(what: str):
    with pytest.raises(UsageError):
        REFUSED[what]()


# ----- whatever they see ------------------------------------------------------------

COUNTS = st.integers(min_value=0, max_value=1 << 40)
TIMES = st.floats(min_value=0, max_value=1e9)
VIEWS = st.builds(
    PrecopyView,
    iteration=st.integers(0, 1 << 32),
    total_written=COUNTS,
    dirty_count=st.integers(-1, 1 << 40),
    passes=st.lists(
        st.builds(Iteration, COUNTS, COUNTS, st.none() | COUNTS, TIMES), max_size=6
    ).map(tuple),
    rate=st.none() | st.floats(min_value=1e-3, max_value=1e9),
    expected_pages=st.none() | COUNTS,
    elapsed=TIMES,
    left=st.none() | st.floats(min_value=-1e6, max_value=1e9),
)
SIMPLE = st.one_of(
    st.builds(policies.DowntimeBudget, st.floats(1, 1e6)),
    st.builds(policies.LocalMinimum, st.integers(1, 5)),
    st.builds(
        policies.Xen,
        max_iters=st.integers(0, 50),
        min_remaining=COUNTS,
        abort_if_busy=st.booleans(),
    ),
)
ALL = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds(
            policies.Deadline, st.floats(1e-3, 1e6), st.sampled_from(OnTimeout), inner
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda some: policies.FirstOf(*some)
        ),
    ),
    max_leaves=4,
)


@given(policy=ALL, seen=VIEWS)
def test_every_view_has_an_answer_and_always_the_same(
    policy: policies.Policy, seen: PrecopyView
):
    answer = policy.decide(seen)
    assert isinstance(answer, PrecopyAnswer)
    assert policy.decide(seen) is answer


@given(policy=ALL, seen=VIEWS, seconds=st.floats(1e-3, 1e6))
def test_time_that_is_up_ends_any_policy(
    policy: policies.Policy, seen: PrecopyView, seconds: float
):
    for on_timeout in OnTimeout:
        answer = policies.Deadline(seconds, on_timeout, policy).decide(seen)
        if seen.elapsed >= seconds:
            assert answer is not GO_ON


@given(policy=SIMPLE, seen=VIEWS, seconds=st.floats(1e-3, 1e6))
def test_guest_is_not_suspended_for_longer_than_is_left(
    policy: policies.Policy, seen: PrecopyView, seconds: float
):
    answer = policies.Deadline(seconds, OnTimeout.CANCEL, policy).decide(seen)
    downtime = seen.expected_downtime
    if answer is STOP and downtime is not None:
        assert downtime / 1000 <= seconds - seen.elapsed


@given(seen=VIEWS, budget=st.floats(1, 1e6))
def test_budget_is_kept_by_what_is_expected(seen: PrecopyView, budget: float):
    if policies.DowntimeBudget(budget).decide(seen) is STOP and seen.dirty_count:
        assert (seen.expected_downtime or math.inf) <= budget or not seen.expected_pages
