"""How long an event loop under test is kept from its other work, in processor time.

Wall time says more about the machine than about us; a call that waits is found by
blockbuster. What is left is work that is not cut in pieces: a turn of the loop may use
as much of the processor as some fixed work does in the same process, and no more. As
the longest of many turns is looked at, so is the longest of many goes at that work:
what the machine takes from us now and then is in both. The garbage collector is not
counted: it walks what the whole test run keeps.
"""

import gc
import selectors
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

#: The fixed work, in additions.
UNIT = 4_000_000
#: How often it is done before a turn is called too long.
GOES = 20


def unit() -> float:
    """Do the fixed work and give the processor time that it took, in seconds."""
    began = time.thread_time()
    sum(range(UNIT))
    return time.thread_time() - began


def is_too_long(turn: float) -> bool:
    """Tell whether a turn took longer than the fixed work does, at any of many goes."""
    return turn > unit() and turn > max(unit() for _ in range(GOES))


class Lag:
    """The longest turn of the loops of one thread."""

    def __init__(self) -> None:
        #: Seconds of processor time.
        self.worst = 0.0
        self._thread = threading.get_ident()
        self._turn: float | None = None
        self._collection = 0.0

    def collects(self, phase: str, _info: dict[str, int]) -> None:
        """Take the begin or the end of a garbage collection out of the turn."""
        if self._turn is None or threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collection = time.thread_time()
        else:
            self._turn += time.thread_time() - self._collection

    def turned(self) -> None:
        """Take the end of a turn: the loop asks what there is to do."""
        if self._turn is not None and threading.get_ident() == self._thread:
            self.worst = max(self.worst, time.thread_time() - self._turn)

    def turns(self) -> None:
        """Take the begin of a turn."""
        if threading.get_ident() == self._thread:
            self._turn = time.thread_time()


@contextmanager
def lag_watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lag]:
    """Watch all loops of this thread that begin a turn meanwhile."""
    lag = Lag()
    ask = selectors.EpollSelector.select

    def select(
        self: selectors.EpollSelector, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        lag.turned()
        ready = ask(self, timeout)
        lag.turns()
        return ready

    with monkeypatch.context() as patched:
        patched.setattr(selectors.EpollSelector, "select", select)
        gc.callbacks.append(lag.collects)
        try:
            yield lag
        finally:
            gc.callbacks.remove(lag.collects)
