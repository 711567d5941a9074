"""How long the epochs of a protection take."""

from collections import deque

import pytest

from libxlpy.remus import figures as module
from libxlpy.remus.figures import Clock, RemusFigures, Spread


def test_before_the_first_epoch_nothing_is_known() -> None:
    nothing = Spread()
    wanted = RemusFigures(epoch=0, lag=None, pause=nothing, commit=nothing)
    assert Clock().figures(0) == wanted


def test_spread_is_of_what_was_measured() -> None:
    seconds = deque(number / 1000 for number in range(100, 0, -1))
    assert Spread.of(seconds) == Spread(median=51.0, p99=100.0)
    assert Spread.of(deque([0.5])) == Spread(median=500.0, p99=500.0)


def test_epochs_are_measured_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each from its close to its commit; the lag counts from the last one's close."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    clock = Clock()
    clock.closed()
    now[0] = 1.0
    clock.closed()
    clock.resumed(0.25)
    now[0] = 3.0
    clock.committed()
    found = clock.figures(1)
    assert (found.lag, found.commit.p99, found.pause.median) == (3.0, 3000.0, 250.0)
    now[0] = 4.0
    clock.committed()
    found = clock.figures(2)
    assert (found.lag, found.commit.median, found.commit.p99) == (3.0, 3000.0, 3000.0)


def test_only_so_many_are_remembered() -> None:
    clock = Clock()
    for _ in range(module.LAST + 10):
        clock.resumed(1.0)
    assert len(clock.pauses) == module.LAST
