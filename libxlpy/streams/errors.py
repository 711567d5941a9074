"""Errors of the stream grammar.

::

    LibxlpyError
     +- StreamFormatError      bytes that are no saved domain (libxlpy_protocol)
         +- StreamRuleBroken   a rule of the format, found by the grammar
             +- StreamCut      it ends before END
"""

from libxlpy.streams.events import StreamEvent
from libxlpy_protocol.errors import StreamFormatError

__all__ = ["StreamCut", "StreamFormatError", "StreamRuleBroken"]


class StreamRuleBroken(StreamFormatError):  # noqa: N818 - says what happened
    """A saved domain breaks a rule of its format.

    Attributes:
        piece: What was being read: ``"PAGE_DATA record"``.
        offset: Where that piece starts, in bytes from the start of the stream.
        reason: The rule that was broken, one clause.
        events: What the same ``feed`` had completed before the error.
    """

    def __init__(self, piece: str, offset: int, reason: str) -> None:
        super().__init__(f"{piece} at offset {offset}: {reason}")
        self.piece = piece
        self.offset = offset
        self.reason = reason
        self.events: tuple[StreamEvent, ...] = ()


class StreamCut(StreamRuleBroken):
    """A saved domain ends before its END."""
