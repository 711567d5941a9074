"""Completions as events: they wait in the ctx until somebody fetches them."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from libxlpy.errors import UsageError

LIBXL_EVENT_TYPE_OPERATION_COMPLETE = 4


@dataclass(slots=True)
class LibxlEvent:
    """An operation is complete."""

    type: int
    domid: int
    #: As given in ``AsyncopHow(for_event=...)``.
    for_user: int
    rc: int
    #: Result, or the error with its whole report.
    outcome: Any


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
