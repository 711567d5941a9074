"""Which calls and ops are open: ids, answer types, limits.

Ids count up from 1, the helper's calls and the parent's ops each for themselves, and
the next question must carry the next id. So a lost, repeated or late one is seen.
"""

from __future__ import annotations

from libxlpy_protocol.errors import ProtocolError
from libxlpy_protocol.messages import Answer, Message
from libxlpy_protocol.table import MESSAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["MAX_OPS", "Ledger", "RefusedError"]

MAX_OPS: Final = 8  # domain ops asked and not yet answered


class RefusedError(ProtocolError):
    """A message breaks a rule; the session knows whose fault that is."""


class Ledger:
    """The questions of one session, of both sides."""

    def __init__(self) -> None:
        self.calls = 0  # id of the last call
        self.ops = 0  # id of the last op
        self.callback_mask = 0  # bit = number of a call that the parent answers
        self.open_call: int | None = None
        self.open_ops: frozenset[int] = frozenset()
        self._open_kind: type[Message] | None = None

    def call(self, kind: type[Message], call_id: int) -> None:
        """Note a call.

        Raises:
            RefusedError: The parent does not answer it, another call is open, or the
                id is not the next.
        """
        if not self.callback_mask >> MESSAGES[kind].number & 1:
            raise RefusedError(f"{kind.__name__} is not in the callback mask")
        if self.open_call is not None:
            raise RefusedError(f"{kind.__name__} while call {self.open_call} is open")
        _require_next(kind, call_id, self.calls)
        self.calls = self.open_call = call_id
        self._open_kind = kind

    def answer(self, message: Answer, call_id: int) -> None:
        """Note the answer to the open call.

        Raises:
            RefusedError: It is for another call, or not of the open call's type.
        """
        if self._open_kind is None or call_id != self.open_call:
            raise RefusedError(f"Answer to call {call_id}, open is {self.open_call}")
        rule = MESSAGES[self._open_kind]
        value, name = message.value, self._open_kind.__name__
        if type(value) not in rule.answer_types:
            raise RefusedError(f"Answer to {name} is {type(value).__name__}")
        low, high = rule.answer_range
        if isinstance(value, int) and not low <= value <= high:
            raise RefusedError(f"Answer to {name} is {value}, outside {low}..{high}")
        self.open_call = self._open_kind = None

    def op(self, kind: type[Message], call_id: int) -> None:
        """Note a domain op.

        Raises:
            RefusedError: Too many are open, or the id is not the next.
        """
        if len(self.open_ops) >= MAX_OPS:
            raise RefusedError(f"{kind.__name__} while {MAX_OPS} are open")
        _require_next(kind, call_id, self.ops)
        self.ops = call_id
        self.open_ops |= {call_id}

    def result(self, kind: type[Message], call_id: int) -> None:
        """Note the result of an open domain op.

        Raises:
            RefusedError: No such op is open.
        """
        if call_id not in self.open_ops:
            raise RefusedError(f"{kind.__name__} for op {call_id}, which is not open")
        self.open_ops -= {call_id}


def _require_next(kind: type[Message], call_id: int, last: int) -> None:
    if call_id != last + 1:
        raise RefusedError(f"{kind.__name__} has id {call_id}, not {last + 1}")
