"""One strict reader for saved domains, without I/O: verify, restore and tests use it.

    parser = StreamParser(Format.XL)
    while chunk := read():
        for event in parser.feed(chunk): ...
    parser.close()

Whatever the format forbids is a `StreamRuleBroken` that names record and offset; it is
the same however the bytes were cut. Contents of pages are counted, never held; no
length that the stream announces is ever allocated.
"""

import enum
from collections.abc import Callable

from libxlpy.streams import libxc, libxl, xl
from libxlpy.streams.cursor import Cursor
from libxlpy.streams.errors import StreamCut, StreamRuleBroken
from libxlpy.streams.events import StreamEvent
from libxlpy.streams.pull import Puller, Reading


class Format(enum.Enum):
    """What the first byte belongs to."""

    XL = "xl"  #: a file as `xl save` writes it
    XL_HEADER = "xl header"  #: only header and configuration of such a file
    LIBXL = "libxl"  #: a libxl stream, as `xl migrate` sends it after its header
    LIBXL_CHECKPOINTED = "libxl checkpointed"  #: the same, with Remus checkpoints
    LIBXC = "libxc"  #: a bare libxc image


def _libxl_checkpointed(cursor: Cursor) -> Reading:
    yield from libxl.stream(cursor, checkpointed=True)


def _libxc_image(cursor: Cursor) -> Reading:
    image = yield from libxc.image_header(cursor, checkpointed=False)
    yield from libxc.records(image)


_GRAMMARS: dict[Format, Callable[[Cursor], Reading]] = {
    Format.XL: xl.file,
    Format.XL_HEADER: xl.header,
    Format.LIBXL: libxl.stream,
    Format.LIBXL_CHECKPOINTED: _libxl_checkpointed,
    Format.LIBXC: _libxc_image,
}


class StreamParser:
    """Checks one saved domain, fed in pieces of any size.

    Attributes:
        error: What was wrong; the parser is then of no more use.
        on_device: Set by the caller: what lies behind END is not looked at.
    """

    def __init__(self, format: Format, *, on_device: bool = False) -> None:
        """Begin at the first byte.

        Args:
            format: What it belongs to.
            on_device: The bytes come from a device, which is as long as it is: what
                lies behind END is left unread or ignored.
        """
        self.error: StreamRuleBroken | None = None
        self.on_device = on_device
        self._cursor = Cursor(piece=f"{format.value} stream")
        self._puller = Puller(_GRAMMARS[format](self._cursor), self._cursor)

    @property
    def offset(self) -> int:
        """Bytes taken so far."""
        return self._cursor.offset

    @property
    def finished(self) -> bool:
        """END was read; a file has nothing behind it."""
        return self._puller.finished

    @property
    def wanted(self) -> int:
        """Bytes until the next step of the reading; 0 when finished.

        A caller that reads no more than this at a time reads nothing behind END.
        """
        return self._puller.wanted

    @property
    def piece(self) -> str:
        """What is being read, as errors call it: ``"PAGE_DATA record"``."""
        return self._cursor.piece

    @property
    def start(self) -> int:
        """Where that piece starts, in bytes from the start of the stream."""
        return self._cursor.start

    @property
    def skippable(self) -> int:
        """Bytes from here on that are only counted; 0 if the next ones are looked at.

        A caller may leave them out by `pass_over` instead of reading them.
        """
        return self._puller.skippable

    def pass_over(self, count: int) -> list[StreamEvent]:
        """Count bytes that the caller has seen to be there, as `feed` would.

        Args:
            count: 1 to `skippable`.

        Raises:
            StreamRuleBroken: What follows from their number breaks a rule.
        """
        self._raise_again()
        try:
            self._puller.pass_over(count)
        except StreamRuleBroken as exc:
            self._broken(exc)
            raise
        return self._collect()

    def feed(self, data: bytes | bytearray | memoryview) -> list[StreamEvent]:
        """Check more bytes.

        Returns:
            Headers and records that are complete now, in order.

        Raises:
            StreamRuleBroken: The bytes break a rule, or there are bytes behind END.
                Every later call raises the same error.
        """
        self._raise_again()
        view = memoryview(data)
        try:
            taken = self._puller.feed(view)
            if taken < len(view) and not self.on_device:
                self._cursor.begin("data")
                self._cursor.fail("it lies behind END")
        except StreamRuleBroken as exc:
            self._broken(exc)
            raise
        return self._collect()

    def close(self) -> None:
        """Say that no more bytes come.

        Raises:
            StreamCut: The stream is not complete.
        """
        self._raise_again()
        if self.finished:
            return
        cursor = self._cursor
        inside = cursor.start < cursor.offset
        where = f"inside it, at offset {cursor.offset}" if inside else "here"
        self.error = StreamCut(cursor.piece, cursor.start, f"the stream ends {where}")
        raise self.error

    def _broken(self, exc: StreamRuleBroken) -> None:
        self.error = exc
        exc.events = tuple(self._collect())

    def _raise_again(self) -> None:
        if self.error is not None:
            raise self.error

    def _collect(self) -> list[StreamEvent]:
        events, self._cursor.events = self._cursor.events, []
        return events
