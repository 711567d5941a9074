"""What became of each guest frame in a saved domain: its type, how often it was sent.

One byte a frame: high four bits the page type of the last time, low four bits how often
its contents came, 15 for more. A byte of 0 is a frame that was never named.

A stranger's file may name one frame in a million, by eight bytes each. So the bytes are
in one pool, in small chunks that exist only where frames were named; they take eight
times the file's own bytes at most, and their index 16 MiB.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence

from libxlpy_protocol.stream.formats import (
    DATA_PAGE_TYPES,
    PAGE_TYPE_NAMES,
    PAGE_TYPE_SHIFT,
)

#: Frames that are kept track of: 1 TiB of guest memory, 256 MiB of ours at most.
MAX_FRAMES = 1 << 28
#: The largest number of times that is told from more.
MANY = 15
CHUNK_FRAMES = 64
#: Chunks of a part of the index, which exists only where there are any.
PART_CHUNKS = 1024
PART_FRAMES = PART_CHUNKS * CHUNK_FRAMES
#: Entries up to here are not searched for runs.
SMALL = 16
#: Bytes counted at a time.
PIECE = 64 * 1024
_PFN_MASK = (1 << 52) - 1
_HAS_DATA = frozenset(int(kind) for kind in DATA_PAGE_TYPES)


def _step(kind: int) -> bytes:
    """Make the table from a frame's byte to its byte once it was named again."""
    sent = 1 if kind in _HAS_DATA else 0
    return bytes(kind << 4 | min((old & 15) + sent, MANY) for old in range(256))


_STEPS = {kind: _step(kind) for kind in PAGE_TYPE_NAMES}


class PageMap:
    """All frames of a guest.

    Attributes:
        beyond: Highest frame that lies above `MAX_FRAMES` and is not in here; -1 if
            none does.
    """

    def __init__(self) -> None:
        self.beyond = -1
        self._pool = bytearray(CHUNK_FRAMES)  # the first is nobody's
        self._index: dict[int, array[int]] = {}  # number of a chunk in the pool

    def add(self, entries: Sequence[int]) -> None:
        """Take entries of a PAGE_DATA record, which the grammar has checked."""
        first, count = entries[0], len(entries)
        if _is_run(entries):
            self._add_run(first >> PAGE_TYPE_SHIFT, first & _PFN_MASK, count)
        elif count <= SMALL:
            self._add_each(entries)
        else:  # most of memory is long runs of plain pages
            self.add(entries[: count // 2])
            self.add(entries[count // 2 :])

    def _add_run(self, kind: int, pfn: int, count: int) -> None:
        end = pfn + count
        if end > MAX_FRAMES:
            self.beyond = max(self.beyond, end - 1)
            end = MAX_FRAMES
        while pfn < end:
            part = min(end - pfn, CHUNK_FRAMES - pfn % CHUNK_FRAMES)
            at = self._place(pfn)
            till = at + part
            self._pool[at:till] = self._pool[at:till].translate(_STEPS[kind])
            pfn += part

    def _add_each(self, entries: Sequence[int]) -> None:
        for entry in entries:
            pfn = entry & _PFN_MASK
            if pfn >= MAX_FRAMES:
                self.beyond = max(self.beyond, pfn)
                continue
            at = self._place(pfn)
            self._pool[at] = _STEPS[entry >> PAGE_TYPE_SHIFT][self._pool[at]]

    def _place(self, pfn: int) -> int:
        """Give where a frame's byte is in the pool; make room if it has none."""
        part = self._index.get(pfn // PART_FRAMES)
        if part is None:
            part = array("I", bytes(4 * PART_CHUNKS))
            self._index[pfn // PART_FRAMES] = part
        chunk = pfn % PART_FRAMES // CHUNK_FRAMES
        if not part[chunk]:
            part[chunk] = len(self._pool) // CHUNK_FRAMES
            self._pool += bytes(CHUNK_FRAMES)
        return part[chunk] * CHUNK_FRAMES + pfn % CHUNK_FRAMES

    # ---- what is in it ---------------------------------------------------------

    @property
    def highest(self) -> int:
        """The highest frame that was named; -1 if none was."""
        if self.beyond >= 0 or not self._index:
            return self.beyond
        last = max(self._index)
        *_, (first, chunk) = self.chunks(last * PART_FRAMES, PART_FRAMES)
        return first + len(chunk.rstrip(b"\0")) - 1

    def histogram(self) -> Counter[int]:
        """Count the frames of each byte value; those never named are left out."""
        counts: Counter[int] = Counter()
        for at in range(0, len(self._pool), PIECE):
            _count(counts, self._pool[at : at + PIECE])
        del counts[0]
        return counts

    def counts(self, first: int, count: int) -> Counter[int]:
        """Count frames from ``first`` on by byte value; 0 are those never named."""
        counts: Counter[int] = Counter()
        named = 0
        for _, chunk in self.chunks(first, count):
            _count(counts, chunk)
            named += len(chunk)
        counts[0] += count - named
        return counts

    def chunks(self, first: int, count: int) -> Iterator[tuple[int, bytearray]]:
        """Give bytes of frames from ``first`` on, each with the frame it starts at.

        Stretches in which no frame was named are left out.
        """
        end = first + count
        for number in range(first // PART_FRAMES, -(-end // PART_FRAMES)):
            part = self._index.get(number)
            if part is not None:
                yield from self._chunks_of(part, number * PART_FRAMES, first, end)

    def _chunks_of(
        self, part: "array[int]", start: int, first: int, end: int
    ) -> Iterator[tuple[int, bytearray]]:
        low = max(first - start, 0)
        high = min(end - start, PART_FRAMES)
        for chunk in range(low // CHUNK_FRAMES, -(-high // CHUNK_FRAMES)):
            if part[chunk]:
                pfn = chunk * CHUNK_FRAMES
                at, till = max(low - pfn, 0), min(high - pfn, CHUNK_FRAMES)
                base = part[chunk] * CHUNK_FRAMES
                yield start + pfn + at, self._pool[base + at : base + till]


def _count(counts: Counter[int], values: bytearray) -> None:
    for value in set(values):
        counts[value] += values.count(value)


def _is_run(entries: Sequence[int]) -> bool:
    """Say whether they are frames in sequence, all of one type."""
    first, count = entries[0], len(entries)
    if entries[-1] - first != count - 1:
        return False
    return count == 1 or tuple(entries) == tuple(range(first, first + count))
