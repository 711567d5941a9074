"""The two pipes to libxl, and what is asked through them.

libxl's protocol has no ids and no second question before the first is answered. So
while an answer is out, nothing is written; and a call that was sent is waited for even
after an abort, as libxl still works on it and would crash if we completed meanwhile.
"""

from libxlpy_helper.channel import Channel
from libxlpy_helper.harden import ControlPipes
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.wire import PipeWire, is_call
from libxlpy_protocol.libxl.session import LibxlHelperSession, LibxlState
from libxlpy_protocol.libxl.table import NEWEST
from libxlpy_protocol.messages import Message, Start, SwitchQemuLogdirty
from libxlpy_protocol.table import MESSAGES


class LibxlChannel(Channel):
    """As the base class, but an abort doesn't close it: libxl is still there.

    After an abort the only call that still makes sense is the one by which libxc has
    qemu's dirty logging switched off again. All others fail without being asked, and
    the one that was asked before fails once libxl has answered it, whatever it says.
    """

    aborted = False

    def abort(self) -> None:
        """See the base class."""
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


class LibxlWire(PipeWire):
    """Sends what is in the outbox, as far as libxl's wire has it."""

    def __init__(self, pipes: ControlPipes, outbox: Outbox, start: Start) -> None:
        self.session = LibxlHelperSession(start.mode, start.callback_mask)
        super().__init__(pipes, outbox, self.session)

    @property
    def is_done(self) -> bool:
        """Whether libxl has taken Complete."""
        return self.session.state is LibxlState.COMPLETED

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing that could be written now."""
        waiting = self.session.state is not LibxlState.RUNNING
        return not self._frame and (waiting or self._outbox.is_empty)

    @property
    def takes_calls(self) -> bool:
        """Whether libxl has answered the last one."""
        return self.session.state is LibxlState.RUNNING

    def _next_frame(self, *, calls: bool) -> bool:
        while self.session.state is LibxlState.RUNNING:
            entry = self._outbox.take()
            if entry is None:
                return False
            given_up = is_call(entry) and not calls
            is_known = NEWEST.number_of(type(entry.message)) is not None
            if is_known and not given_up:
                self._frame = memoryview(self.session.send(entry.message))
                return True
        return False
