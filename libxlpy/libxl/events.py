"""Completions as events: they wait in the ctx until somebody fetches them."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from libxlpy.errors import UsageError

LIBXL_EVENT_TYPE_OPERATION_COMPLETE = 4


class LibxlEvent:
    """An operation is complete."""

    def __init__(
        self, type: int, domid: int, for_user: int, rc: int, outcome: Any
    ) -> None:
        self.type = type
        self.domid = domid
        #: As given in ``AsyncopHow(for_event=...)``.
        self.for_user = for_user
        self.rc = rc
        #: Result, or the error with its whole report.
        self.outcome = outcome

    def __eq__(self, other: object) -> bool:
        """Compare all that they say."""
        return isinstance(other, LibxlEvent) and vars(self) == vars(other)

    def __repr__(self) -> str:
        """Show the call that makes it."""
        said = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"LibxlEvent({said})"


#: Which events are meant; called in any thread, must only look.
Predicate = Callable[[LibxlEvent], bool]


def any_event(_event: LibxlEvent) -> bool:
    """Take whatever comes."""
    return True


class EventQueue:
    """Events of one ctx; any thread may put and take."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[LibxlEvent] = deque()
        self._waiting: dict[Future[LibxlEvent], Predicate] = {}
        self._open = True

    def put(self, event: LibxlEvent) -> None:
        """Give an event to one who waits for such, else keep it."""
        with self._lock:
            if not self._open:
                return
            for future, predicate in self._waiting.items():
                if predicate(event):
                    del self._waiting[future]
                    future.set_result(event)
                    return
            self._events.append(event)

    def take(self, predicate: Predicate = any_event) -> LibxlEvent | None:
        """Give the oldest event of a kind; None if there is none."""
        with self._lock:
            return self._take(predicate)

    def _take(self, predicate: Predicate) -> LibxlEvent | None:
        for event in self._events:
            if predicate(event):
                self._events.remove(event)
                return event
        return None

    def expect(self, predicate: Predicate = any_event) -> "Future[LibxlEvent]":
        """Give a future of the next event of a kind."""
        future: Future[LibxlEvent] = Future()
        with self._lock:
            event = self._take(predicate)
            if event is not None:
                future.set_result(event)
            elif self._open:
                self._waiting[future] = predicate
            else:
                future.set_exception(UsageError("libxl ctx is freed"))
        return future

    def give_up(self, future: "Future[LibxlEvent]") -> None:
        """Wait no more; an event that came meanwhile is there for others."""
        with self._lock:
            waiting = self._waiting.pop(future, None) is not None
            if not waiting and future.exception() is None:
                self._events.appendleft(future.result())

    def close(self) -> None:
        """Drop what is there and end all waiting."""
        with self._lock:
            self._open = False
            self._events.clear()
            for future in self._waiting:
                future.set_exception(UsageError("libxl ctx is freed"))
            self._waiting.clear()
