"""Ask the parent and wait for its answer; or, after an abort, answer in its place.

``ask`` is called by the main thread from within libxc; the rest by the control thread,
which gets the answers that the main thread does not read by itself: see ``line``.
Once the operation is aborted or the parent lost, every call gets its failure value at
once: that is what makes libxc clean up by itself.
"""

from __future__ import annotations

import threading

from libxlpy_helper.line import Line
from libxlpy_helper.outbox import EVENT_SIZE, Outbox, Waker
from libxlpy_protocol.messages import Answer, Message, SaveLibxc, Suspend
from libxlpy_protocol.table import MESSAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Channel:
    """One call at a time, as libxc has one thread."""

    def __init__(self, outbox: Outbox, let_go: Waker) -> None:
        """Take where calls are put, and what wakes who waits for an answer."""
        self.closed = False  # no call goes to the parent any more
        self.suspend_asked = False  # the guest may have been told to suspend
        self.let_go = let_go
        self.line: Line | None = None  # else the control thread writes and reads
        self._outbox = outbox
        self._lock = threading.Lock()
        self._woken = 0  # bytes read of what wakes
        self._waiting: Message | None = None
        self._answer: int | bytes | None = None

    def ask(self, call: Message) -> int | bytes | None:
        """Send a call; return the parent's answer, or the call's failure value.

        Waits for as long as the parent takes: its deadlines are the parent's.
        """
        failure = MESSAGES[type(call)].failure
        with self._lock:
            if self.closed:
                return failure
            if isinstance(call, Suspend | SaveLibxc):
                self.suspend_asked = True
            self._waiting = call
        read = self._asked(call)
        with self._lock:
            is_open, self._waiting = self._waiting is call, None
            if not is_open:
                return self._answer
            return failure if read is None or self.closed else read.value

    def _asked(self, call: Message) -> Answer | None:
        """Return the answer, if it was read here; None: see what was told meanwhile."""
        read = None
        if self.line is not None:
            read = self.line.ask(call)
        else:
            self._outbox.put(call)
        if read is None:
            self.let_go.wait()
            self._woken += EVENT_SIZE
        return read

    def talked(self, *, writing: bool) -> int:
        """Return the bytes that who asks has written, or read, for it by itself."""
        line = self.line
        if writing:
            return 0 if line is None else line.written
        return self._woken + (0 if line is None else line.taken)

    def ask_int(self, call: Message) -> int:
        """Ask a call whose answer is an int; the session has checked that it is."""
        answer: Any = self.ask(call)
        return int(answer)

    def ask_bytes(self, call: Message) -> bytes | None:
        """Ask a call whose answer is bytes, or nil for failure."""
        answer: Any = self.ask(call)
        return None if answer is None else bytes(answer)

    def answer(self, value: int | bytes | None) -> None:
        """Take the parent's answer to the call in progress."""
        with self._lock:
            if self._waiting is None:
                return  # crossed our own abort
            self._answer = value
            self._waiting = None
            self.let_go.wake()

    def abort(self) -> None:
        """Fail what is asked from now on, and what is being asked."""
        self.close()

    def close(self) -> None:
        """Answer the call in progress and all later ones with their failure value."""
        with self._lock:
            self.closed = True
            if self._waiting is not None:
                self.let_go.wake()
