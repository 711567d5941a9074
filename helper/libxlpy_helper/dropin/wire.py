"""The two pipes to libxl, and what is asked through them.

libxl's protocol has no ids and no second question before the first is answered. So
while an answer is out, nothing is written; and a call that was sent is waited for even
after an abort, as libxl still works on it and would crash if we completed meanwhile.
"""

import os
from typing import Final

from libxlpy_helper.channel import Channel
from libxlpy_helper.harden import ControlPipes
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.wire import READ_SIZE, ParentGoneError
from libxlpy_protocol.enums import Flow
from libxlpy_protocol.libxl.session import LibxlHelperSession, LibxlState
from libxlpy_protocol.libxl.table import NEWEST
from libxlpy_protocol.messages import Message, Start, SwitchQemuLogdirty
from libxlpy_protocol.session import Event
from libxlpy_protocol.table import MESSAGES

__all__ = ["LibxlChannel", "LibxlWire", "ParentGoneError"]

FRAMES_PER_TURN: Final = 64  # so that a flood of log lines can't keep us from reading


class LibxlChannel(Channel):
    """As the base class, but an abort doesn't close it: libxl is still there.

    After an abort the only call that still makes sense is the one by which libxc has
    qemu's dirty logging switched off again. All others fail without being asked, and
    the one that was asked before fails once libxl has answered it, whatever it says.
    """

    aborted = False

    def abort(self) -> None:
        """Fail what is asked from now on, and what is being asked."""
        self.aborted = True

    def ask(self, call: Message) -> int | bytes | None:
        """See the base class."""
        if self.aborted and not _cleans_up(call):
            return MESSAGES[type(call)].failure
        answer = super().ask(call)
        if self.aborted and not _cleans_up(call):
            return MESSAGES[type(call)].failure
        return answer


def _cleans_up(call: Message) -> bool:
    return isinstance(call, SwitchQemuLogdirty) and not call.enable


class LibxlWire:
    """Sends what is in the outbox, as far as libxl's wire has it; never waits."""

    def __init__(self, pipes: ControlPipes, outbox: Outbox, start: Start) -> None:
        self.read_fd = pipes.read_fd
        self.write_fd = pipes.write_fd
        self.session = LibxlHelperSession(start.mode, start.callback_mask)
        self.is_blocked = False  # the pipe is full: look again when it is writable
        self._outbox = outbox
        self._frame = memoryview(b"")

    @property
    def is_done(self) -> bool:
        """Whether libxl has taken Complete."""
        return self.session.state is LibxlState.COMPLETED

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing that could be written now."""
        waiting = self.session.state is not LibxlState.RUNNING
        return not self._frame and (waiting or self._outbox.is_empty)

    def read(self) -> list[Event]:
        """Return the answers that came.

        Raises:
            ParentGoneError: End of file.
            RemoteProtocolError: An answer to nothing.
        """
        try:
            data = os.read(self.read_fd, READ_SIZE)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            data = b""
        if not data:
            raise ParentGoneError
        return self.session.receive(data)

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

    def _next_frame(self, *, calls: bool) -> bool:
        while self.session.state is LibxlState.RUNNING:
            entry = self._outbox.take()
            if entry is None:
                return False
            kind = type(entry.message)
            given_up = MESSAGES[kind].flow is Flow.CALL and not calls
            if NEWEST.number_of(kind) is not None and not given_up:
                self._frame = memoryview(self.session.send(entry.message))
                return True
        return False
