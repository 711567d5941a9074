"""The two pipes to the parent, and our protocol on them."""

from __future__ import annotations

from libxlpy_helper.wire import PipeWire, is_call
from libxlpy_protocol.messages import Complete, Log, OpResult, Stat
from libxlpy_protocol.session import HelperSession
from libxlpy_protocol.states import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libxlpy_helper.harden import ControlPipes
    from libxlpy_helper.outbox import Entry, Outbox
    from libxlpy_protocol.messages import Hello, Message


class Wire(PipeWire):
    """Sends what is in the outbox."""

    def __init__(
        self, pipes: ControlPipes, outbox: Outbox, hello: Hello, *, sent: int = 0
    ) -> None:
        """Take our first message, of which so many bytes were sent already."""
        self.session = HelperSession()
        super().__init__(pipes, outbox, self.session)
        self._is_complete = False  # the verdict is out
        # Hello goes first, before what was logged while the library was opened.
        self._frame = memoryview(self.session.send(hello))[sent:]

    @property
    def is_idle(self) -> bool:
        """Whether everything was delivered."""
        return not self._frame and self._outbox.is_empty

    @property
    def takes_calls(self) -> bool:
        """Whether no abort was heard, and no verdict told."""
        return self.session.state is State.RUNNING

    # -- private -------------------------------------------------------------------

    def _next_frame(self, *, calls: bool) -> bool:
        while (entry := self._outbox.take()) is not None:
            if self._is_sent(entry, calls=calls):
                self._is_complete |= isinstance(entry.message, Complete)
                frame = self.session.send(self._said(entry.message), entry.call_id)
                self._frame = memoryview(frame)
                return True
        return False

    def _said(self, message: Message) -> Message:
        """Give up, with the whole, a call that is open: it may be of a dead guest."""
        if isinstance(message, Complete) and self.session.state is State.CALLING:
            return message.replace(aborted=True)
        return message

    def _is_sent(self, entry: Entry, *, calls: bool) -> bool:
        """Tell what still may be said: the main thread may go on after the verdict."""
        if self._is_complete:
            return isinstance(entry.message, Log | Stat | OpResult)
        return calls or not is_call(entry)
