"""The two pipes to the parent: bytes from and to the session, never waiting."""

import contextlib
import os
import select
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

from libxlpy_helper.harden import ControlPipes
from libxlpy_helper.outbox import Entry, Outbox
from libxlpy_protocol.enums import Flow
from libxlpy_protocol.messages import Complete, Hello, Log, OpResult, Stat
from libxlpy_protocol.session import Event, HelperSession, Receiver
from libxlpy_protocol.table import MESSAGES

READ_SIZE: Final = 64 * 1024
FRAMES_PER_TURN: Final = 64  # so that a flood of log lines can't keep us from reading


class ParentGoneError(Exception):
    """The parent closed a pipe, or died."""


class PipeWire(ABC):
    """Two pipes with a session between; owned by the control thread."""

    def __init__(self, pipes: ControlPipes, outbox: Outbox, receiver: Receiver) -> None:
        """``receiver`` is the session."""
        self.read_fd = pipes.read_fd
        self.write_fd = pipes.write_fd
        self.is_blocked = False  # the pipe is full: look again when it is writable
        self._outbox = outbox
        self._receiver = receiver
        self._frame = memoryview(b"")

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether there is nothing that could be written now."""

    def read(self) -> Iterator[Event]:
        """Yield what came.

        Raises:
            ParentGoneError: End of file, also within a frame.
            RemoteProtocolError: The parent broke a rule.
        """
        try:
            data = os.read(self.read_fd, READ_SIZE)
        except BlockingIOError:
            return iter(())
        except ConnectionResetError:
            data = b""
        if not data:
            raise ParentGoneError
        self._receiver.receive(data)
        return iter(self._receiver.next_event, None)

    def write(self, *, calls: bool) -> None:
        """Send as much as the pipe and the protocol take, in order.

        Args:
            calls: False drops queued calls: they were given up before they were sent.

        Raises:
            ParentGoneError: Nobody reads the pipe any more.
        """
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

    @abstractmethod
    def _next_frame(self, *, calls: bool) -> bool:
        """Take the next frame off the outbox; False: there is none."""


class Wire(PipeWire):
    """Sends what is in the outbox."""

    def __init__(self, pipes: ControlPipes, outbox: Outbox, hello: Hello) -> None:
        self.session = HelperSession()
        super().__init__(pipes, outbox, self.session)
        self._is_complete = False  # the verdict is out
        # Hello goes first, before what was logged while the library was opened.
        self._frame = memoryview(self.session.send(hello))

    @property
    def is_idle(self) -> bool:
        """Whether everything was delivered."""
        return not self._frame and self._outbox.is_empty

    # -- what the owner polls ------------------------------------------------------

    def watch(self, poll: select.poll) -> None:
        """Have it wake up when a full pipe takes bytes again."""
        if self.is_blocked:
            poll.register(self.write_fd, select.POLLOUT)
        else:
            with contextlib.suppress(KeyError):
                poll.unregister(self.write_fd)

    def leave(self, poll: select.poll) -> None:
        """Have it look at neither pipe any more."""
        for fd in (self.read_fd, self.write_fd):
            with contextlib.suppress(KeyError):
                poll.unregister(fd)

    # -- private -------------------------------------------------------------------

    def _next_frame(self, *, calls: bool) -> bool:
        while (entry := self._outbox.take()) is not None:
            if self._is_sent(entry, calls=calls):
                self._is_complete |= isinstance(entry.message, Complete)
                frame = self.session.send(entry.message, entry.call_id)
                self._frame = memoryview(frame)
                return True
        return False

    def _is_sent(self, entry: Entry, *, calls: bool) -> bool:
        """Tell what still may be said: the main thread may go on after the verdict."""
        if self._is_complete:
            return isinstance(entry.message, Log | Stat | OpResult)
        return calls or not is_call(entry)


def is_call(entry: Entry) -> bool:
    """Tell whether the peer has to answer it."""
    return MESSAGES[type(entry.message)].flow is Flow.CALL
