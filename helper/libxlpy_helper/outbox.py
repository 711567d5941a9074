"""What waits to be sent: everything that must arrive, and news that may be dropped.

The parent may read slowly or not at all; whoever puts a message here never waits for
it. Calls, results and phases are all kept (there can be only a few). Of progress the
latest per kind is kept, of heartbeats and events the latest, of log lines the last
ones; how many lines were lost is counted. Messages leave in the order in which they
came.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from itertools import count

from libxlpy_protocol.messages import (
    Log,
    Message,
    Progress,
    Stat,
    StopAndCopy,
    SuspendEvent,
)
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

EVENT_SIZE: Final = 8  # bytes of what wakes
LOGS_MAX: Final = 256  # lines
PROGRESS_MAX: Final = 16  # kinds; libxc has one per iteration


class Entry(Value):
    """A message and the call id that ``send`` needs for it (0 for most)."""

    order: int
    message: Message
    call_id: int = 0


class Outbox:
    """Thread-safe; ``wake`` makes the sender look: after each message, or so."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.dropped = 0  # log lines lost so far
        self.wake = wake
        self._lock = threading.Lock()
        self._order = count()
        self._must: deque[Entry] = deque()
        self._logs: deque[Entry] = deque()
        self._latest: dict[object, Entry] = {}

    def put(self, message: Message, call_id: int = 0, *, wake: bool = True) -> None:
        """Queue a message; never blocks.

        Args:
            message: What is to be sent.
            call_id: See ``Entry``.
            wake: False: by whoever puts it here.
        """
        with self._lock:
            entry = Entry(next(self._order), message, call_id)
            match message:
                case Log():
                    self._put_log(entry)
                case Progress(context=context, doing_what=doing_what):
                    self._put_latest((context, doing_what), entry)
                case Stat() | SuspendEvent() | StopAndCopy():
                    self._put_latest(type(message), entry)
                case _:
                    self._must.append(entry)
        if wake:
            self.wake()

    def take(self) -> Entry | None:
        """Return the oldest message; None if there is none."""
        if self.is_empty:
            return None
        with self._lock:
            return self._take()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not bool(self._must or self._logs or self._latest)

    def _put_log(self, entry: Entry) -> None:
        if len(self._logs) == LOGS_MAX:
            self._logs.popleft()
            self.dropped += 1
        self._logs.append(entry)

    def _put_latest(self, key: object, entry: Entry) -> None:
        self._latest.pop(key, None)
        if len(self._latest) > PROGRESS_MAX:
            del self._latest[next(iter(self._latest))]
        self._latest[key] = entry

    def _take(self) -> Entry | None:
        if self._must and not self._logs and not self._latest:
            return self._must.popleft()
        heads = [queue[0] for queue in (self._must, self._logs) if queue]
        if self._latest:
            heads.append(next(iter(self._latest.values())))
        if not heads:
            return None
        oldest = min(heads, key=lambda entry: entry.order)
        if self._must and self._must[0] is oldest:
            return self._must.popleft()
        if self._logs and self._logs[0] is oldest:
            return self._logs.popleft()
        return self._latest.pop(next(iter(self._latest)))


class Waker:
    """Makes the poll of one thread return; any thread may use it."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def wake(self) -> None:
        """Make ``fd`` readable."""
        with contextlib.suppress(BlockingIOError):  # full: it is readable already
            os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """Make it unreadable again."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)

    def close(self) -> None:
        """Close ``fd``."""
        os.close(self.fd)

    def wait(self) -> None:
        """Wait until it is woken, once."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        poll.poll()
        self.clear()
