"""Errors of the protocol package, and the root of every libxlpy error.

::

    LibxlpyError                 caught by whoever wants all of ours
     +- ProtocolError            a rule of the control protocol was broken
     |   +- LocalProtocolError   by us: nothing was sent, nothing changed
     |   +- RemoteProtocolError  by the peer: never talk to it again
     +- XenstoreWireError        bytes that are no xenstore packet
     +- StreamFormatError        bytes that are no header of a saved domain
"""

__all__ = [
    "LibxlpyError",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "StreamFormatError",
    "XenstoreWireError",
]


class LibxlpyError(Exception):
    """Root of the tree."""

    #: The other end of a migration was told it, in our own handshake, and tells it.
    was_told = False


class ProtocolError(LibxlpyError):
    """A rule of the control protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We tried to send what the rules forbid; nothing was sent or changed."""


class RemoteProtocolError(ProtocolError):
    """The peer broke a rule; its session is in ``State.ERROR`` from now on.

    Args:
        text: One line, the same however the bytes were cut into reads.
        frame: The offending frame, length prefix included, as far as it was taken.
    """

    def __init__(self, text: str, frame: bytes = b"") -> None:
        super().__init__(text)
        self.frame = frame


class XenstoreWireError(LibxlpyError):
    """The bytes are no xenstore packet; the connection can't be used further."""


class StreamFormatError(LibxlpyError):
    """The bytes are no header of a saved domain; the text says which and why."""
