"""Silence is what was not heard while it was listened, not what the clock says."""

import pytest

from libxlpy_helper.control_loop import HEARTBEAT
from libxlpy_helper.silence import LOOK_MAX, Silence

#: A power of two, so that sums are exact.
BOUND = 4.0


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("libxlpy_helper.silence.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def silence() -> Silence:
    silence = Silence()
    silence.bound_ms = int(BOUND * 1000)
    return silence


def looks_until_too_long(clock: Clock, silence: Silence, every: float) -> int:
    looks = 1
    clock.now += every
    while not silence.is_too_long():
        clock.now += every
        looks += 1
    return looks


def test_it_is_too_long_at_its_bound(clock: Clock) -> None:
    assert looks_until_too_long(clock, silence(), 0.5) == BOUND / 0.5


def test_without_a_bound_it_never_is(clock: Clock) -> None:
    unbound = Silence()
    for _ in range(100):
        clock.now += HEARTBEAT
        assert not unbound.is_too_long()


def test_what_is_heard_ends_it(clock: Clock) -> None:
    listened = silence()
    clock.now += 0.5
    assert not listened.is_too_long()
    listened.heard()
    assert looks_until_too_long(clock, listened, 0.5) == BOUND / 0.5


def test_time_in_which_it_was_stopped_itself_counts_as_one_look(clock: Clock) -> None:
    """What was said meanwhile is in the pipe still."""
    looks = looks_until_too_long(clock, silence(), 1000.0)
    assert looks == BOUND / LOOK_MAX
