"""One end of a conversation: bytes in, events out; messages in, bytes out. No I/O.

``receive`` takes what was read from the pipe; ``next_event`` says what it was, the good
first, then the error; ``send`` returns what to write. All follow
:data:`~libxlpy_protocol.states.TRANSITIONS` and
:data:`~libxlpy_protocol.table.MESSAGES`, and everything that moves the state is here.
Not thread-safe: one thread (or one lock) owns a session.
"""

from __future__ import annotations

from libxlpy_protocol.codec import decode, encode
from libxlpy_protocol.enums import Flow, Mode, Side
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import LARGE_BODY_MAX
from libxlpy_protocol.framing import FrameBuffer, frame
from libxlpy_protocol.hello import MIN_VERSION, VERSION, agree
from libxlpy_protocol.ledger import Ledger, RefusedError
from libxlpy_protocol.messages import (
    Abort,
    Answer,
    AnyMessage,
    Complete,
    Hello,
    Message,
    Start,
)
from libxlpy_protocol.receiver import Event, Receiver
from libxlpy_protocol.states import RECEIVE_ONLY, TRANSITIONS, State
from libxlpy_protocol.table import CALLS, MESSAGES, Rule, callback_mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Final, Never

__all__ = ["Event", "HelperSession", "ParentSession", "Receiver", "Session"]

_ALL_CALLS: Final = callback_mask(CALLS)


class Session(Receiver):
    """What both ends have in common; see :class:`ParentSession`, `HelperSession`.

    Args:
        version: Highest protocol version that we speak.
        min_version: Lowest one.
    """

    side: ClassVar[Side]

    def __init__(
        self, *, version: int = VERSION, min_version: int = MIN_VERSION
    ) -> None:
        super().__init__()
        # -- Results, for the owner to read
        self.state = State.FRESH
        self.start: Start | None = None
        self.peer: Hello | None = None
        self.version: int | None = None  # agreed with the peer
        self.last_call_id = 0  # of the call or op that we sent last

        # -- Private
        self._peer = self.side.peer
        self._versions = (min_version, version)
        self._frames = FrameBuffer()
        self._seen: set[tuple[Side, type[Message]]] = set()
        self._ledger = Ledger()
        self._may_cross = False  # a call may still come from before the abort

    @property
    def mode(self) -> Mode | None:
        """The helper's job; None before Start."""
        return None if self.start is None else self.start.mode

    @property
    def open_call(self) -> int | None:
        """Id of the call that has no answer yet."""
        return self._ledger.open_call

    @property
    def open_ops(self) -> frozenset[int]:
        """Ids of the domain ops that have no result yet."""
        return self._ledger.open_ops

    # -- Bytes in ------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        self._frames.feed(data)

    def _next(self) -> Event | None:
        body = self._frames.next_body()
        if body is None:
            return None
        message, call_id = decode(body)
        try:
            self._step(self._peer, message, call_id)
        except (RefusedError, RemoteProtocolError) as exc:
            raise RemoteProtocolError(str(exc), frame(body)) from None
        return Event(message, call_id)

    def _end(self) -> None:
        self._frames.end()
        self.state = State.CLOSED

    def _break(self) -> None:
        self.state = State.ERROR

    # -- Bytes out -----------------------------------------------------------------

    def send(self, message: Message, call_id: int = 0) -> bytes:
        """Return the frame of ``message``.

        Args:
            message: What to say.
            call_id: Of the call or op that an Answer or OpResult is for. Calls and
                ops get the next id by themselves: see ``last_call_id``.

        Raises:
            LocalProtocolError: The rules forbid it; nothing has changed.
        """
        kind = type(message)
        if kind not in MESSAGES:
            raise LocalProtocolError(f"{kind.__name__} is no message")
        asks = MESSAGES[kind].flow in (Flow.CALL, Flow.OP)
        if asks and call_id == 0:
            call_id = self.last_call_id + 1
        body = encode(message, call_id)
        most = LARGE_BODY_MAX if self.peer is None else self.peer.max_body
        if len(body) > most:
            raise LocalProtocolError(
                f"{kind.__name__}: body of {len(body)} bytes, the peer takes {most}"
            )
        if (self.state, self.side, kind) in RECEIVE_ONLY:
            raise LocalProtocolError(f"{kind.__name__} after the abort")
        known: Any = message  # its kind is in the table
        try:
            self._step(self.side, known, call_id)
        except RefusedError as exc:
            raise LocalProtocolError(str(exc)) from None
        if asks:
            self.last_call_id = call_id
        return frame(body)

    # -- The rules -----------------------------------------------------------------

    def _step(self, sender: Side, message: AnyMessage, call_id: int) -> None:
        """Check one message against every rule, then move the state."""
        kind = type(message)
        rule = MESSAGES[kind]
        who = "helper" if sender is Side.HELPER else "parent"
        if sender not in rule.sender:
            raise RefusedError(f"{kind.__name__} is not for the {who} to send")
        if rule.once and (sender, kind) in self._seen:
            raise RefusedError(f"{kind.__name__} repeated by the {who}")
        after = TRANSITIONS[self.state].get((sender, kind))
        if after is None:
            raise RefusedError(
                f"{kind.__name__} by the {who} in state {self.state.name}"
            )
        if self.mode is not None and self.mode not in rule.modes:
            raise RefusedError(f"{kind.__name__} in mode {self.mode.name}")
        self._step_flow(rule, sender, message, call_id)
        self._seen.add((sender, kind))
        self.state = after

    def _step_flow(
        self, rule: Rule, sender: Side, message: AnyMessage, call_id: int
    ) -> None:
        """Check and note what belongs to the kind of message."""
        kind = type(message)
        match rule.flow:
            case Flow.CALL:
                self._step_call(kind, call_id)
            case Flow.ANSWER:
                assert isinstance(message, Answer)
                self._ledger.answer(message, call_id)
            case Flow.OP:
                self._ledger.op(kind, call_id)
            case Flow.OP_RESULT:
                self._ledger.result(kind, call_id)
            case Flow.NOTICE | Flow.HELLO | Flow.START:
                if call_id != 0:
                    raise RefusedError(f"{kind.__name__} has call id {call_id}, not 0")
                self._step_notice(sender, message)
            case _:
                _never(rule.flow)

    def _step_call(self, kind: type[Message], call_id: int) -> None:
        """Note a call; after an abort only the one that may have crossed it."""
        if self.state is State.ABORTING and not self._may_cross:
            raise RefusedError(f"{kind.__name__} can't have crossed the abort")
        self._ledger.call(kind, call_id)
        self._may_cross = False

    def _step_notice(self, sender: Side, message: AnyMessage) -> None:
        match message:
            case Hello():
                self._step_hello(sender, message)
            case Start(callback_mask=mask):
                if mask & ~_ALL_CALLS:
                    raise RefusedError(f"Start.callback_mask {mask:#x} has no calls")
                self.start = message
                self._ledger.callback_mask = mask
            case Complete(aborted=False) if self.state is State.CALLING:
                raise RefusedError(f"Complete while call {self.open_call} is open")
            case Abort():
                self._may_cross = self.state is State.RUNNING or self._may_cross
            case _:
                pass

    def _step_hello(self, sender: Side, message: Hello) -> None:
        if sender is not self.side:
            self.version = agree(self._versions, message)
            self.peer = message
        elif (message.min_version, message.version) != self._versions:
            raise RefusedError(f"Hello names versions other than {self._versions}")


def _never(flow: Never) -> Never:
    """Have the type checker see that all were named."""
    raise AssertionError(flow)


class ParentSession(Session):
    """The parent's end: takes what helpers send."""

    side = Side.PARENT


class HelperSession(Session):
    """The helper's end: takes what parents send."""

    side = Side.HELPER
