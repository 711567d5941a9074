"""Check saved domains that are read from a descriptor.

`read_xl_header` reads not one byte more than header and configuration, so that the
descriptor can be handed on; `verify` reads to the end.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator

from libxlpy.streams.events import (
    LibxcHeaderRead,
    LibxlHeaderRead,
    RecordRead,
    StreamEvent,
    XlHeaderRead,
)
from libxlpy.streams.grammar import Format, StreamParser
from libxlpy.streams.pull import MAX_KEEP

#: Bytes read at a time by `verify`: reads cost nothing, nor do 30,000 records in it.
CHUNK = 256 * 1024
#: Types of records that are told apart; more are possible only where unknown ones are.
MAX_TYPES = 64
OTHERS = "(other types)"


class Summary:
    """What a checked file holds.

    Attributes:
        xl: Its header and configuration.
        libxl: Header of the libxl stream.
        libxc: Headers of the libxc image.
        records: Records of each type: ``{"libxc PAGE_DATA": 4, ...}``.
        pages: Pages with contents, repeats included.
        size: Bytes in all.
    """

    def __init__(self) -> None:
        self.xl: XlHeaderRead | None = None
        self.libxl: LibxlHeaderRead | None = None
        self.libxc: LibxcHeaderRead | None = None
        self.records: Counter[str] = Counter()
        self.pages = 0
        self.size = 0

    def __eq__(self, other: object) -> bool:
        """Compare all that they hold."""
        return isinstance(other, Summary) and vars(self) == vars(other)

    def add(self, event: StreamEvent) -> None:
        """Count one event of the grammar."""
        match event:
            case XlHeaderRead():
                self.xl = event
            case LibxlHeaderRead():
                self.libxl = event
            case LibxcHeaderRead():
                self.libxc = event
            case RecordRead():
                self._count(event)

    def _count(self, event: RecordRead) -> None:
        name = f"{event.layer.value} {event.name}"
        if name not in self.records and len(self.records) >= MAX_TYPES:
            name = f"{event.layer.value} {OTHERS}"
        self.records[name] += 1
        self.pages += event.pages


def read_xl_header(fd: int) -> XlHeaderRead:
    """Read header and configuration; ``fd`` is then at the libxl stream.

    Raises:
        StreamRuleBroken: They break a rule, or the file ends before they do.
        OSError: Reading failed.
    """
    parser = StreamParser(Format.XL_HEADER)
    events: list[StreamEvent] = []
    while not parser.finished:
        chunk = os.read(fd, min(parser.wanted, MAX_KEEP))
        if not chunk:
            parser.close()
        events += parser.feed(chunk)
    header = events[0]
    assert isinstance(header, XlHeaderRead)
    return header


def verify(fd: int) -> Summary:
    """Check a whole file made by `xl save` or `xlpy save`, from where ``fd`` is.

    Raises:
        StreamRuleBroken: It breaks a rule, is cut short or, if it is no device, has
            bytes behind its end.
        OSError: Reading failed.
    """
    parser = parser_for(fd)
    summary = Summary()
    for events in feed_from(fd, parser):
        for event in events:
            summary.add(event)
    summary.size = parser.offset
    return summary


def parser_for(fd: int) -> StreamParser:
    """Give the parser of a whole file, or of one that was saved to a device."""
    mode = os.fstat(fd).st_mode
    return StreamParser(Format.XL, on_device=stat.S_ISBLK(mode) or stat.S_ISCHR(mode))


def feed_from(fd: int, parser: StreamParser) -> Iterator[list[StreamEvent]]:
    """Read all of a stream, give what each step completes.

    Raises:
        StreamRuleBroken: As of the parser.
        OSError: Reading failed.
    """
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    while not (parser.on_device and parser.finished):
        size = os.readv(fd, [buffer])
        if not size:
            break
        yield parser.feed(view[:size])
    parser.close()
