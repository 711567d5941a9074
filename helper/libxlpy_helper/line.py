"""A call's short way: who is in libxenguest writes the frame, and reads the answer.

One thread at a time reads the parent's pipe:

    the control thread --- a call was written whole, by the caller ---> the caller
    the caller --- the answer is here, and lets libxc go on ---> the control thread
    the caller --- anything else, or it is let go ---> the control thread

So all but the plain answer is for the control thread, as if the caller had never read:
an abort, a question, half the truth, the end of file; and an answer by which libxc
fails and cleans up, before which the guest is looked at. What the caller has read of it
is handed over in order, and for the rest of that call it only waits.

The control thread never waits for the caller. It has its signals, its heartbeat, and
that the parent hangs up; and it writes as ever, whole frames under the wire's lock.
"""

from __future__ import annotations

import select

from libxlpy_helper.outbox import Outbox, Waker
from libxlpy_helper.wire import ParentGoneError, PipeWire
from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.messages import Answer, Message
from libxlpy_protocol.table import MESSAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from libxlpy_protocol.receiver import Event

#: The failure value of a call -> what says that it was done.
DONE: Final[dict[object, int]] = {0: 1, -1: 0}


class Line:
    """The way of all calls of a process, one at a time."""

    def __init__(
        self,
        wire: PipeWire,
        outbox: Outbox,
        let_go: Waker,
        poll: select.epoll,
        may_go_on: Callable[[], bool],
    ) -> None:
        """Take what is the control thread's, which goes on using it.

        Args:
            wire: The pipes.
            outbox: What waits to be written.
            let_go: Woken when the caller is not to wait for an answer.
            poll: What the control thread waits with.
            may_go_on: Tells whether libxc may do so, without another look.
        """
        self._wire = wire
        self._outbox = outbox
        self._let_go = let_go
        self._poll = poll
        self._may_go_on = may_go_on
        self.taken = 0  # bytes that callers have read
        self.written = 0  # bytes that callers have written
        self._own_poll = select.poll()
        for fd in (wire.read_fd, let_go.fd):
            self._own_poll.register(fd, select.POLLIN)

    def ask(self, call: Message) -> Answer | None:
        """Ask the parent; None: the control thread gets the answer, if there is any."""
        with self._wire.lock:
            self._outbox.put(call, wake=False)
            if not self._begin():
                self._outbox.wake()
                return None
        try:
            return self._heard(call)
        finally:
            self._give_back()

    def _begin(self) -> bool:
        """Write it, and be the one who reads; False: neither, or only a part of it."""
        wire = self._wire
        if wire.is_left or wire.is_handed or wire.is_blocked or not wire.takes_calls:
            return False
        is_written = False
        before = wire.written
        self._poll.modify(wire.read_fd, 0)  # it still sees the other end hang up
        try:
            wire.write(calls=True)
            is_written = wire.is_idle
        except ParentGoneError:
            pass  # the control thread will find out
        finally:
            self.written += wire.written - before
            if not is_written:
                self._give_back()
        return is_written

    def _heard(self, call: Message) -> Answer | None:
        """Return the plain answer; None: it is not, or we are let go."""
        while True:
            ready = dict(self._own_poll.poll())
            if self._let_go.fd in ready:
                return None
            with self._wire.lock:
                try:
                    answer = self._read(call)
                except ParentGoneError:
                    return None  # who reads next will meet it again
                except RemoteProtocolError:
                    self._wire.hand_over()
                    return None
                if answer is not None or self._wire.is_handed:
                    return answer

    def _give_back(self) -> None:
        wire = self._wire
        with wire.lock:
            if not wire.is_left:
                self._poll.modify(wire.read_fd, select.EPOLLIN)
            if not wire.is_idle:
                self._outbox.wake()  # libxl's takes nothing while a call is open

    def _read(self, call: Message) -> Answer | None:
        wire = self._wire
        before = wire.taken
        wire.receive()
        self.taken += wire.taken - before
        event = wire.next_event()
        if event is None:
            return None
        answer = self._answer_in(event, call)
        if answer is None:
            wire.hand_over(event)
        elif (another := wire.next_event()) is not None:
            wire.hand_over(another)
        return answer

    def _answer_in(self, event: Event, call: Message) -> Answer | None:
        message, failure = event.message, MESSAGES[type(call)].failure
        if isinstance(message, Answer) and message.value == DONE.get(failure):
            return message if self._may_go_on() else None
        return None
