"""Turn "give me the next n bytes" into "here are some bytes", without I/O.

A grammar is a generator that yields `Need`s in reading order; `Puller` is fed whatever
has arrived and resumes the generator whenever a need is met. The result never depends
on how the bytes were cut, and no more is held than the one need that is open.
"""

import struct
from collections.abc import Callable, Generator
from typing import Any, Protocol

#: Bytes; the most one need may keep. Anything longer is read in blocks or skipped.
MAX_KEEP = 64 * 1024


class Need:
    """The next bytes a grammar asks for.

    Attributes:
        count: How many; at least 1.
        keep: Hand them over; else they are counted and dropped.
    """

    __slots__ = ("count", "keep")

    def __init__(self, count: int, *, keep: bool) -> None:
        self.count = count
        self.keep = keep


#: A grammar: yields needs, is sent the kept bytes (b"" for skipped ones).
Reading = Generator[Need, bytes, None]


def take(count: int) -> Generator[Need, bytes, bytes]:
    """Read exactly ``count`` bytes, 0 to MAX_KEEP."""
    if count == 0:
        return b""
    return (yield Need(count, keep=True))


def skip(count: int) -> Generator[Need, bytes, None]:
    """Pass over ``count`` bytes without holding them."""
    if count:
        yield Need(count, keep=False)


def unpack(layout: struct.Struct) -> Generator[Need, bytes, tuple[Any, ...]]:
    """Read one fixed structure."""
    return layout.unpack((yield from take(layout.size)))


def blocks(
    count: int, block: int, sink: Callable[[bytes], None]
) -> Generator[Need, bytes, None]:
    """Read ``count`` bytes in pieces of ``block`` (the last may be shorter)."""
    while count:
        piece = yield from take(min(count, block))
        sink(piece)
        count -= len(piece)


class Position(Protocol):
    """What a `Puller` moves along."""

    offset: int


class Puller:
    """Feeds one grammar.

    Attributes:
        finished: The grammar has read all it wants.
    """

    def __init__(self, reading: Reading, position: Position) -> None:
        self.finished = False
        self._position = position
        self._reading = reading
        self._need: Need | None = None
        self._held = bytearray()
        self._skipped = 0
        self._resume(None)

    @property
    def wanted(self) -> int:
        """Bytes until the open need is met; 0 when finished."""
        if self._need is None:
            return 0
        return self._need.count - len(self._held) - self._skipped

    @property
    def skippable(self) -> int:
        """Bytes from here on that the grammar only counts; 0 if it wants them."""
        return 0 if self._need is None or self._need.keep else self.wanted

    def pass_over(self, count: int) -> None:
        """Count 1 to ``skippable`` bytes without having them."""
        assert 0 < count <= self.skippable
        self._advance(count)

    def feed(self, view: memoryview) -> int:
        """Take what the grammar wants of ``view``.

        Returns:
            How many bytes were taken; less than all only when finished.
        """
        taken = 0
        while self._need is not None and taken < len(view):
            part = view[taken : taken + self.wanted]
            taken += len(part)
            self._accept(self._need, part)
        return taken

    def _accept(self, need: Need, part: memoryview) -> None:
        if need.keep:
            self._held += part
        self._advance(len(part), keep=need.keep)

    def _advance(self, count: int, *, keep: bool = False) -> None:
        self._position.offset += count
        if not keep:
            self._skipped += count
        if self.wanted == 0:
            kept = bytes(self._held)
            self._held.clear()
            self._skipped = 0
            self._resume(kept)

    def _resume(self, kept: bytes | None) -> None:
        try:
            if kept is None:
                self._need = next(self._reading)
            else:
                self._need = self._reading.send(kept)
        except StopIteration:
            self._need = None
            self.finished = True
