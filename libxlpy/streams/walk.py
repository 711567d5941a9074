"""Read a saved domain from a descriptor and look into its records on the way.

The grammar says what each byte belongs to and whether it matters; what doesn't (the
contents of pages, above all) is passed over by lseek where the file allows it.
"""

import os
from typing import NamedTuple, Protocol

from libxlpy.streams.errors import StreamRuleBroken
from libxlpy.streams.events import LibxcHeaderRead, RecordRead, StreamEvent
from libxlpy.streams.grammar import Format, StreamParser
from libxlpy.streams.pull import MAX_KEEP
from libxlpy.streams.reader import parser_for

#: Bytes read at a time from what can't be sought; contents go nowhere.
CHUNK = 1024 * 1024


class Listener(Protocol):
    """Who is told what a walk meets, in the order of the file."""

    def wants(self, piece: str) -> bool:
        """Say whether to be shown contents that the grammar only counts."""
        ...

    def saw(self, piece: str, at: int, data: bytes) -> None:
        """Take bytes that the grammar accepted.

        Args:
            piece: What they belong to, as errors call it: ``"PAGE_DATA record"``.
            at: Where in that piece they start; 8 is the start of a record's body.
            data: All that the grammar asked for at once, at most 64 KiB.
        """
        ...

    def read(self, event: StreamEvent) -> None:
        """Take a header or record that is complete."""
        ...


class Walk:
    """One reading of a file made by `xl save` or `xlpy save`.

    Attributes:
        parser: How far it has come.
    """

    def __init__(
        self, fd: int, listener: Listener, parser: StreamParser | None = None
    ) -> None:
        """Prepare to read ``fd`` from where it is.

        Args:
            fd: Open for reading.
            listener: Is told of what is met.
            parser: Of what is there; of a file, or what a device holds, if None.
        """
        self.parser = parser or parser_for(fd)
        self._fd = fd
        self._listener = listener
        self._end = end_of(fd)
        self._waste = bytearray() if self._end else bytearray(CHUNK)

    def run(self) -> None:
        """Read to the end.

        Raises:
            StreamRuleBroken: The file breaks a rule, is cut short or has bytes behind
                its end and is no device; the listener has been told of all before.
            OSError: Reading failed.
        """
        try:
            while not self.parser.finished:
                for event in self._step():
                    self._listener.read(event)
            if not self.parser.on_device:
                self.parser.feed(os.read(self._fd, 1))
        except StreamRuleBroken as exc:
            for event in exc.events:
                self._listener.read(event)
            raise

    def _step(self) -> list[StreamEvent]:
        parser = self.parser
        if parser.skippable and not self._listener.wants(parser.piece):
            return self._leave_out(parser.skippable)
        piece, at = parser.piece, parser.offset - parser.start
        data = self._read(min(parser.wanted, MAX_KEEP))
        events = parser.feed(data)
        self._listener.saw(piece, at, data)
        return events

    def _leave_out(self, count: int) -> list[StreamEvent]:
        if self._end:
            count = min(count, self._end - os.lseek(self._fd, 0, os.SEEK_CUR))
            if count > 0:
                os.lseek(self._fd, count, os.SEEK_CUR)
                return self.parser.pass_over(count)
            self.parser.close()  # a seek would go behind the end, and not say so
        part = memoryview(self._waste)[:count]
        size = os.readv(self._fd, [part])
        if size == 0:
            self.parser.close()
        return self.parser.pass_over(size)

    def _read(self, count: int) -> bytes:
        data = os.read(self._fd, count)
        while len(data) < count:  # a pipe gives what it has
            more = os.read(self._fd, count - len(data))
            if not more:
                self.parser.feed(data)
                self.parser.close()
            data += more
        return data


class Walked(NamedTuple):
    """What a walk by headers only has met."""

    #: Bytes up to behind END.
    length: int
    #: ``"PV"`` or ``"HVM"``, which PVH guests are to libxc; "" if no image was met.
    domain_type: str
    #: Guest pages with contents, repeats counted.
    pages: int


class _Counter:
    """Listens to headers only: contents are passed over."""

    def __init__(self) -> None:
        self.domain_type = ""
        self.pages = 0

    def wants(self, piece: str) -> bool:
        return False

    def saw(self, piece: str, at: int, data: bytes) -> None:
        pass

    def read(self, event: StreamEvent) -> None:
        match event:
            case LibxcHeaderRead():
                self.domain_type = event.domain_type
            case RecordRead():
                self.pages += event.pages


def walk_to_end(fd: int, format: Format) -> Walked:
    """Walk one whole stream, from where ``fd`` is; headers only, pages passed over.

    Returns:
        What was met; ``fd`` stands behind its END.

    Raises:
        StreamRuleBroken: It breaks a rule, or the file ends before it does.
        OSError: Reading failed.
    """
    counter = _Counter()
    walk = Walk(fd, counter, StreamParser(format, on_device=True))
    walk.run()
    return Walked(walk.parser.offset, counter.domain_type, counter.pages)


def end_of(fd: int) -> int:
    """Give the offset of a file's end; 0 if it has none that can be sought."""
    try:
        here = os.lseek(fd, 0, os.SEEK_CUR)
        end = os.lseek(fd, 0, os.SEEK_END)
        os.lseek(fd, here, os.SEEK_SET)
    except OSError:
        return 0
    return end
