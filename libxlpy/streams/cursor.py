"""Where the reading is and what it reads: shared by the three layers of the grammar."""

from collections.abc import Callable, Generator
from typing import NoReturn, TypeVar

from libxlpy.streams.errors import StreamRuleBroken
from libxlpy.streams.events import StreamEvent
from libxlpy.streams.pull import Need, Reading, take
from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.stream.formats import padding

HeaderT = TypeVar("HeaderT")


class Cursor:
    """Position in the stream, the piece being read, and what was completed.

    Attributes:
        offset: Bytes taken so far; moved by the `Puller`.
        piece: What is being read (``"PAGE_DATA record"``), for errors.
        start: Where that piece starts.
        events: Completed pieces that nobody has collected yet.
    """

    def __init__(self, piece: str) -> None:
        self.offset = 0
        self.piece = piece
        self.start = 0
        self.events: list[StreamEvent] = []

    def begin(self, piece: str, start: int | None = None) -> None:
        """Name what is read from now on; it starts here unless said otherwise."""
        self.piece = piece
        self.start = self.offset if start is None else start

    def fail(self, reason: str) -> NoReturn:
        """Give up: the piece being read breaks a rule."""
        raise StreamRuleBroken(self.piece, self.start, reason)

    def header(
        self, size: int, unpack: Callable[[bytes], HeaderT]
    ) -> Generator[Need, bytes, HeaderT]:
        """Read ``size`` bytes and have them checked by ``unpack``."""
        data = yield from take(size)
        try:
            return unpack(data)
        except StreamFormatError as exc:
            self.fail(str(exc).partition(": ")[2])

    def zeros(self, length: int) -> Reading:
        """Read the padding that follows a body of ``length`` bytes."""
        pad = yield from take(padding(length))
        if any(pad):
            self.fail("its padding is not zero")
