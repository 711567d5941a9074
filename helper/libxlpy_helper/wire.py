"""Two pipes and the session between them: bytes from and to it, never waiting."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from abc import ABC, abstractmethod
from collections import deque

from libxlpy_helper.harden import ControlPipes
from libxlpy_helper.outbox import Entry, Outbox
from libxlpy_protocol.enums import Flow
from libxlpy_protocol.table import MESSAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from libxlpy_protocol.receiver import Event, Receiver

READ_SIZE: Final = 64 * 1024
FRAMES_PER_TURN: Final = 64  # so that a flood of log lines can't keep us from reading


class ParentGoneError(Exception):
    """The parent closed a pipe, or died."""


class PipeWire(ABC):
    """Two pipes with a session between; a frame is written and read by one thread.

    That is the control thread, or one that is in libxenguest, see ``Line``: whoever
    uses pipes or session has the lock.
    """

    def __init__(self, pipes: ControlPipes, outbox: Outbox, receiver: Receiver) -> None:
        """``receiver`` is the session."""
        self.read_fd = pipes.read_fd
        self.write_fd = pipes.write_fd
        self.lock = threading.RLock()
        self.is_blocked = False  # the pipe is full: look again when it is writable
        self.is_left = False  # nobody looks at the pipes any more
        self.is_handed = False  # the other thread has read what ``read`` is to yield
        self.reads = 0  # how often something was read
        self.taken = 0  # bytes read, by whichever thread
        self.written = 0  # bytes written
        self._handed: deque[Event] = deque()
        self._is_watched = False  # poll looks whether it is writable
        self._outbox = outbox
        self._receiver = receiver
        self._frame = memoryview(b"")

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether there is nothing that could be written now."""

    @property
    @abstractmethod
    def takes_calls(self) -> bool:
        """Whether the session lets us ask now."""

    # -- for the control thread ----------------------------------------------------

    def read(self) -> Iterator[Event]:
        """Yield what came; what was handed over comes first.

        Raises:
            ParentGoneError: End of file, also within a frame.
            RemoteProtocolError: The parent broke a rule.
        """
        with self.lock:
            if not self.is_handed:
                self.receive()
            self.is_handed = False
        return iter(self._next_of_all, None)

    def _next_of_all(self) -> Event | None:
        with self.lock:
            return self._handed.popleft() if self._handed else self.next_event()

    def write(self, *, calls: bool) -> None:
        """Send as much as the pipe and the protocol take, in order.

        Args:
            calls: False drops queued calls: they were given up before they were sent.

        Raises:
            ParentGoneError: Nobody reads the pipe any more.
        """
        with self.lock:
            self.is_blocked = False
            for _ in range(FRAMES_PER_TURN):
                if not self._frame and not self._next_frame(calls=calls):
                    return
                try:
                    sent = os.write(self.write_fd, self._frame)
                except BlockingIOError:
                    self.is_blocked = True
                    return
                except (BrokenPipeError, ConnectionResetError):
                    raise ParentGoneError from None
                self._frame = self._frame[sent:]
                self.written += sent

    def watch(self, poll: select.epoll) -> None:
        """Have it wake up when a full pipe takes bytes again."""
        if self.is_blocked != self._is_watched:
            self._is_watched = self.is_blocked
            if self._is_watched:
                poll.register(self.write_fd, select.EPOLLOUT)
            else:
                poll.unregister(self.write_fd)

    def leave(self, poll: select.epoll) -> None:
        """Have it look at neither pipe any more."""
        with self.lock:
            self.is_left = True
            for fd in (self.read_fd, self.write_fd):
                with contextlib.suppress(OSError):  # it did not look at that one
                    poll.unregister(fd)

    # -- for whoever reads: has the lock -------------------------------------------

    def receive(self) -> None:
        """Take what the pipe has.

        Raises:
            ParentGoneError: End of file, also within a frame.
        """
        try:
            data = os.read(self.read_fd, READ_SIZE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            raise ParentGoneError
        self.reads += 1
        self.taken += len(data)
        self._receiver.receive(data)

    def next_event(self) -> Event | None:
        """Return the next message that is whole; None: there is none.

        Raises:
            RemoteProtocolError: The parent broke a rule, now or before.
        """
        return self._receiver.next_event()

    def hand_over(self, event: Event | None = None) -> None:
        """Leave a message, and whatever follows it, for the control thread."""
        if event is not None:
            self._handed.append(event)
        self.is_handed = True
        self._outbox.wake()

    # -- what the protocol says ----------------------------------------------------

    @abstractmethod
    def _next_frame(self, *, calls: bool) -> bool:
        """Take the next frame off the outbox; False: there is none."""


def is_call(entry: Entry) -> bool:
    """Tell whether the peer has to answer it."""
    return MESSAGES[type(entry.message)].flow is Flow.CALL
