"""What both wires have in common, ours and libxl's: bytes in, events out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libxlpy_protocol.messages import AnyMessage

__all__ = ["Event", "Receiver"]


class Event(Value):
    """A message as it came; ``call_id`` is 0 for what is no call, answer or op."""

    message: AnyMessage
    call_id: int = 0


class Receiver(ABC):
    """The receiving half of a session."""

    def __init__(self) -> None:
        self._is_ended = False  # end of file was read
        self._error: RemoteProtocolError | None = None

    def receive(self, data: bytes) -> None:
        """Take bytes as they were read; ``b""`` is end of file.

        Raises:
            LocalProtocolError: There can be no bytes after end of file.
        """
        if self._error is not None:
            return  # nothing that comes after it is believed
        if self._is_ended and data:
            raise LocalProtocolError("bytes after end of file")
        self._is_ended = not data
        self._feed(data)

    def next_event(self) -> Event | None:
        """Return the next message that is complete; None when more bytes are needed.

        Raises:
            RemoteProtocolError: The peer broke a rule, now or before.
        """
        if self._error is not None:
            raise RemoteProtocolError(str(self._error), self._error.frame)
        try:
            event = self._next()
            if event is None and self._is_ended:
                self._end()
        except RemoteProtocolError as exc:
            self._error = exc
            self._break()
            raise
        return event

    @abstractmethod
    def _feed(self, data: bytes) -> None:
        """Keep bytes for :meth:`_next`."""

    @abstractmethod
    def _next(self) -> Event | None:
        """Cut, check and note the next message.

        Raises:
            RemoteProtocolError: It is a bad one.
        """

    @abstractmethod
    def _end(self) -> None:
        """Move to the state after end of file.

        Raises:
            RemoteProtocolError: It came within a message.
        """

    @abstractmethod
    def _break(self) -> None:
        """Move to the state after a broken rule."""
