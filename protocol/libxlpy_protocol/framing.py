"""Length prefix: bytes in, bodies out.

A frame is the body's length as a big-endian u32 and the body. The receiver knows from
a frame's first bytes whether it will take it: the length alone for a body over every
cap, length and message number for one that only some messages may have.
"""

from __future__ import annotations

import struct

from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.fields import BODY_MAX, LARGE_BODY_MAX
from libxlpy_protocol.table import MESSAGES, NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["PREFIX", "FrameBuffer", "frame"]

PREFIX: Final = struct.Struct(">I")

#: A large body must begin with a one-byte array header and a one-byte number.
_PEEK: Final = PREFIX.size + 2


def frame(body: bytes) -> bytes:
    """Put the length in front of a body."""
    return PREFIX.pack(len(body)) + body


class FrameBuffer:
    """Cut a byte stream into bodies; holds no more than it was fed."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Append bytes as they were read."""
        self._data += data

    def next_body(self) -> bytes | None:
        """Take the next whole body, or return None when more bytes are needed.

        Raises:
            RemoteProtocolError: The frame is empty or larger than its message may be.
        """
        if len(self._data) < PREFIX.size:
            return None
        (size,) = PREFIX.unpack_from(self._data)
        if size == 0 or size > LARGE_BODY_MAX:
            raise self._refuse(f"body of {size} bytes", PREFIX.size)
        if size > BODY_MAX and not self._may_be_large(size):
            return None
        end = PREFIX.size + size
        if len(self._data) < end:
            return None
        body = bytes(memoryview(self._data)[PREFIX.size : end])
        del self._data[:end]
        return body

    def end(self) -> None:
        """Say that no more bytes will come.

        Raises:
            RemoteProtocolError: A frame is not complete.
        """
        if self._data:
            size = len(self._data)
            raise self._refuse(f"truncated: end of file, {size} bytes of a frame", size)

    def _may_be_large(self, size: int) -> bool:
        """Look at the message number; False when it is not here yet."""
        if len(self._data) < _PEEK:
            return False
        header, number = self._data[PREFIX.size : _PEEK]
        kind = NUMBERS.get(number) if header & 0xF0 == 0x90 else None
        if kind is None:
            raise self._refuse(f"body of {size} bytes of no known message", _PEEK)
        most = MESSAGES[kind].max_body
        if size > most:
            raise self._refuse(
                f"{kind.__name__}: body of {size} bytes, more than {most}", _PEEK
            )
        return True

    def _refuse(self, text: str, taken: int) -> RemoteProtocolError:
        return RemoteProtocolError(text, bytes(self._data[:taken]))
