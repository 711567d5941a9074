"""Completions as events: they wait in the ctx until somebody fetches them."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libxlpy.errors import UsageError

if TYPE_CHECKING:
    from libxlpy.libxl.ctx import LibxlCtx

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


Predicate = Callable[[LibxlEvent], bool]


def _any(event: LibxlEvent) -> bool:
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

    def take(self, predicate: Predicate = _any) -> LibxlEvent | None:
        """Give the oldest event of a kind; None if there is none."""
        with self._lock:
            return self._take(predicate)

    def _take(self, predicate: Predicate) -> LibxlEvent | None:
        for event in self._events:
            if predicate(event):
                self._events.remove(event)
                return event
        return None

    def expect(self, predicate: Predicate = _any) -> "Future[LibxlEvent]":
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


# ----- public ---------------------------------------------------------------------


def libxl_event_check(
    ctx: "LibxlCtx", predicate: Predicate = _any
) -> LibxlEvent | None:
    """Give the oldest event that waits; None if there is none. Never waits.

    Raises:
        UsageError: The ctx is freed or another process's.
    """
    ctx.check()
    return ctx.events.take(predicate)


def libxl_event_wait(ctx: "LibxlCtx", predicate: Predicate = _any) -> LibxlEvent:
    """Wait for an event; several threads may, each event goes to one of them.

    Args:
        ctx: From ``libxl_ctx_alloc``.
        predicate: Which events to take; called in any thread, must only look.

    Raises:
        UsageError: The ctx is, or was meanwhile, freed, or is another process's.
    """
    ctx.check()
    future = ctx.events.expect(predicate)
    try:
        return ctx.driver.wait(future)
    except BaseException:  # Ctrl-C, say: the event is not lost
        ctx.events.give_up(future)
        raise


def libxl_event_free(ctx: "LibxlCtx", event: LibxlEvent) -> None:
    """Let go of an event's outcome, which may be large; idempotent.

    Raises:
        UsageError: The ctx is freed or another process's.
    """
    ctx.check()
    event.outcome = None
