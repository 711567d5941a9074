"""One end of a conversation in libxl's own helper protocol. No I/O.

As :mod:`libxlpy_protocol.session`, for the wire that Xen's libxl and its
libxl-save-helper speak: no hello, no start (argv has it), no abort (a signal is), no
ids. The helper asks one thing at a time and says nothing until the answer is there;
its last message, Complete, is answered too. Calls get ids here, counted by each side.
"""

from __future__ import annotations

import enum

from libxlpy_protocol.enums import Mode, Side
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import I32, FieldError, field_of
from libxlpy_protocol.ledger import RefusedError
from libxlpy_protocol.libxl.table import NEWEST, LibxlRule, LibxlTable
from libxlpy_protocol.libxl.wire import (
    ANSWER,
    LENGTH,
    AnswerBuffer,
    MessageBuffer,
    decode_libxl,
    encode_libxl,
)
from libxlpy_protocol.messages import Answer, Complete, Log, Message
from libxlpy_protocol.receiver import Event, Receiver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

__all__ = [
    "LIBXL_TRANSITIONS",
    "LibxlHelperSession",
    "LibxlParentSession",
    "LibxlState",
]

_INT: Final = field_of(I32)


class LibxlState(enum.Enum):
    """How far the conversation is."""

    #: The helper works.
    RUNNING = "running"
    #: The helper waits for the answer to its one call.
    CALLING = "calling"
    #: The helper has said Complete, which is answered too.
    COMPLETING = "completing"
    #: All said but log lines; the helper exits.
    COMPLETED = "completed"
    #: End of file between two messages.
    CLOSED = "closed"
    #: The peer broke a rule.
    ERROR = "error"


class Act(enum.Enum):
    """What moves the state."""

    LOG = "log"
    NOTICE = "notice"
    CALL = "call"
    COMPLETE = "complete"
    ANSWER = "answer"


#: A missing cell is a protocol error of whoever acted.
LIBXL_TRANSITIONS: Final[dict[LibxlState, dict[Act, LibxlState]]] = {
    LibxlState.RUNNING: {
        Act.LOG: LibxlState.RUNNING,
        Act.NOTICE: LibxlState.RUNNING,
        Act.CALL: LibxlState.CALLING,
        Act.COMPLETE: LibxlState.COMPLETING,
    },
    LibxlState.CALLING: {Act.ANSWER: LibxlState.RUNNING},
    LibxlState.COMPLETING: {Act.ANSWER: LibxlState.COMPLETED},
    # Xen's libraries log what they counted when they are closed.
    LibxlState.COMPLETED: {Act.LOG: LibxlState.COMPLETED},
    LibxlState.CLOSED: {},
    LibxlState.ERROR: {},
}


class _Session(Receiver):
    """What both ends have in common.

    Args:
        mode: SAVE, RESTORE or REMUS.
        callback_mask: Bit N for each callback number N that libxl has, as in argv.
        table: The wire of the release.
    """

    side: ClassVar[Side]

    def __init__(
        self, mode: Mode, callback_mask: int, table: LibxlTable = NEWEST
    ) -> None:
        super().__init__()
        self.state = LibxlState.RUNNING
        self.mode = mode
        self.last_call_id = 0
        self._mask = callback_mask
        self._table = table

    @property
    def open_call(self) -> int | None:
        """Id of the call, or of Complete, that has no answer yet."""
        waiting = (LibxlState.CALLING, LibxlState.COMPLETING)
        return self.last_call_id if self.state in waiting else None

    def _end(self) -> None:
        self.state = LibxlState.CLOSED

    def _break(self) -> None:
        self.state = LibxlState.ERROR

    def _say(self, message: Message) -> None:
        """Check what the helper says against every rule, then move the state."""
        kind = type(message)
        number = self._table.number_of(kind)
        assert number is not None
        rule = self._table.rules[number]
        if self.mode not in rule.modes:
            raise RefusedError(f"{kind.__name__} in mode {self.mode.name}")
        if rule.answered and rule.is_callback and not self._mask >> number & 1:
            raise RefusedError(f"{kind.__name__} is not in the callback mask")
        act = _act_of(rule)
        self._step(act, f"{kind.__name__} by the helper")
        if rule.answered:
            self.last_call_id += 1

    def _step(self, act: Act, what: str) -> None:
        after = LIBXL_TRANSITIONS[self.state].get(act)
        if after is None:
            raise RefusedError(f"{what} in state {self.state.name}")
        self.state = after


def _act_of(rule: LibxlRule) -> Act:
    if rule.kind is Complete:
        return Act.COMPLETE
    if rule.kind is Log:
        return Act.LOG
    return Act.CALL if rule.answered else Act.NOTICE


class LibxlParentSession(_Session):
    """libxl's end: takes what Xen's helper sends, and answers."""

    side = Side.PARENT

    def __init__(
        self, mode: Mode, callback_mask: int, table: LibxlTable = NEWEST
    ) -> None:
        """See the base class."""
        super().__init__(mode, callback_mask, table)
        self._messages = MessageBuffer(table)
        self._count = 0

    @property
    def half_message(self) -> int:
        """Which message, counted from 1, has begun and has no end yet; 0: none."""
        return self._count + 1 if self._messages.rest else 0

    def _feed(self, data: bytes) -> None:
        self._messages.feed(data)

    def _next(self) -> Event | None:
        body = self._messages.next_body()
        if body is None:
            return None
        message = decode_libxl(body, self._table)
        try:
            self._say(message)
        except RefusedError as exc:
            frame = LENGTH.pack(len(body)) + body
            raise RemoteProtocolError(str(exc), frame) from None
        self._count += 1
        return Event(message, self.open_call or 0)

    def _end(self) -> None:
        self._messages.end()
        super()._end()

    def send(self, message: Message, call_id: int = 0) -> bytes:
        """Return the bytes of an answer to the call ``call_id``.

        Raises:
            LocalProtocolError: It is no answer, not an int, or not to the open call.
        """
        if not isinstance(message, Answer):
            raise LocalProtocolError(f"{type(message).__name__} has no form here")
        if call_id != self.open_call:
            raise LocalProtocolError(
                f"Answer to call {call_id}, open is {self.open_call}"
            )
        try:
            value = _INT.take(message.value)
            self._step(Act.ANSWER, "Answer by the parent")
        except (FieldError, RefusedError) as exc:
            raise LocalProtocolError(f"Answer: {exc}") from None
        return ANSWER.pack(value)


class LibxlHelperSession(_Session):
    """The helper's end: sends messages, takes answers."""

    side = Side.HELPER

    def __init__(
        self, mode: Mode, callback_mask: int, table: LibxlTable = NEWEST
    ) -> None:
        """See the base class."""
        super().__init__(mode, callback_mask, table)
        self._answers = AnswerBuffer()

    def _feed(self, data: bytes) -> None:
        self._answers.feed(data)

    def _next(self) -> Event | None:
        call_id = self.open_call
        if call_id is None:
            if self._answers.rest:  # an answer to nothing: seen at its first byte
                text = f"Answer by the parent in state {self.state.name}"
                raise RemoteProtocolError(text, bytes(self._answers.rest[:1]))
            return None
        value = self._answers.next_answer()
        if value is None:
            return None
        self._step(Act.ANSWER, "Answer by the parent")
        return Event(Answer(value), call_id)

    def _end(self) -> None:
        self._answers.end()
        super()._end()

    def send(self, message: Message, call_id: int = 0) -> bytes:
        """Return the frame of ``message``; see ``last_call_id`` for a call's id.

        Raises:
            LocalProtocolError: The rules forbid it; nothing has changed.
        """
        if call_id:
            raise LocalProtocolError("the helper answers nothing on libxl's wire")
        frame = encode_libxl(message, self._table)
        try:
            self._say(message)
        except RefusedError as exc:
            raise LocalProtocolError(str(exc)) from None
        return frame
