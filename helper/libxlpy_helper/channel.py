"""Ask the parent and wait for its answer; or, after an abort, answer in its place.

``ask`` is called by the main thread from within libxc; the rest by the control thread.
Once the operation is aborted or the parent lost, every call gets its failure value at
once: that is what makes libxc clean up by itself.
"""

import threading
from typing import cast

from libxlpy_helper.outbox import Outbox
from libxlpy_protocol.messages import Message, SaveLibxc, Suspend
from libxlpy_protocol.table import MESSAGES


class Channel:
    """One call at a time, as libxc has one thread."""

    def __init__(self, outbox: Outbox) -> None:
        self.closed = False  # no call goes to the parent any more
        self.suspend_asked = False  # the guest may have been told to suspend
        self._outbox = outbox
        self._changed = threading.Condition()
        self._waiting: Message | None = None
        self._answer: int | bytes | None = None

    def ask(self, call: Message) -> int | bytes | None:
        """Send a call; return the parent's answer, or the call's failure value.

        Waits for as long as the parent takes: its deadlines are the parent's.
        """
        failure = MESSAGES[type(call)].failure
        with self._changed:
            if self.closed:
                return failure
            if isinstance(call, Suspend | SaveLibxc):
                self.suspend_asked = True
            self._waiting = call
            self._outbox.put(call)
            while self._waiting is call and not self.closed:
                self._changed.wait()
            if self._waiting is call:
                self._waiting = None
                return failure
            return self._answer

    def ask_int(self, call: Message) -> int:
        """Ask a call whose answer is an int; the session has checked that it is."""
        return cast(int, self.ask(call))

    def ask_bytes(self, call: Message) -> bytes | None:
        """Ask a call whose answer is bytes, or nil for failure."""
        return cast("bytes | None", self.ask(call))

    def answer(self, value: int | bytes | None) -> None:
        """Take the parent's answer to the call in progress."""
        with self._changed:
            if self._waiting is None:
                return  # crossed our own abort
            self._answer = value
            self._waiting = None
            self._changed.notify()

    def abort(self) -> None:
        """Fail what is asked from now on, and what is being asked."""
        self.close()

    def close(self) -> None:
        """Answer the call in progress and all later ones with their failure value."""
        with self._changed:
            self.closed = True
            self._changed.notify()
