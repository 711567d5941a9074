"""What became of each guest frame in a saved domain: its type, how often it was sent.

One byte a frame, in chunks that exist only where frames were named: high four bits the
page type of the last time, low four bits how often its contents came, 15 for more. A
byte of 0 is a frame that was never named.
"""

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
CHUNK_SHIFT = 16
CHUNK_FRAMES = 1 << CHUNK_SHIFT
#: Entries up to here are not searched for runs.
SMALL = 16
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
        self._chunks: dict[int, bytearray] = {}

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
            at = pfn % CHUNK_FRAMES
            part = min(end - pfn, CHUNK_FRAMES - at)
            chunk = self._chunk(pfn >> CHUNK_SHIFT)
            chunk[at : at + part] = chunk[at : at + part].translate(_STEPS[kind])
            pfn += part

    def _add_each(self, entries: Sequence[int]) -> None:
        for entry in entries:
            pfn = entry & _PFN_MASK
            if pfn >= MAX_FRAMES:
                self.beyond = max(self.beyond, pfn)
                continue
            chunk = self._chunk(pfn >> CHUNK_SHIFT)
            at = pfn % CHUNK_FRAMES
            chunk[at] = _STEPS[entry >> PAGE_TYPE_SHIFT][chunk[at]]

    def _chunk(self, number: int) -> bytearray:
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = bytearray(CHUNK_FRAMES)
        return chunk

    # ---- what is in it ---------------------------------------------------------

    @property
    def highest(self) -> int:
        """The highest frame that was named; -1 if none was."""
        if self.beyond >= 0 or not self._chunks:
            return self.beyond
        number = max(self._chunks)
        used = len(self._chunks[number].rstrip(b"\0"))
        return number * CHUNK_FRAMES + used - 1

    def histogram(self) -> Counter[int]:
        """Count the frames of each byte value; those never named are left out."""
        counts: Counter[int] = Counter()
        for chunk in self._chunks.values():
            for value in set(chunk) - {0}:
                counts[value] += chunk.count(value)
        return counts

    def frames(self, first: int, count: int) -> bytes:
        """Give the bytes of ``count`` frames; 0 for those never named."""
        return b"".join(self._parts(first, first + count))

    def _parts(self, pfn: int, end: int) -> Iterator[bytes | bytearray]:
        while pfn < end:
            at = pfn % CHUNK_FRAMES
            part = min(end - pfn, CHUNK_FRAMES - at)
            chunk = self._chunks.get(pfn >> CHUNK_SHIFT)
            yield bytes(part) if chunk is None else chunk[at : at + part]
            pfn += part

    def next_chunk(self, pfn: int) -> int:
        """Give the first frame from ``pfn`` on that may have been named."""
        if pfn >> CHUNK_SHIFT in self._chunks:
            return pfn
        later = [number for number in self._chunks if number > pfn >> CHUNK_SHIFT]
        return min(later) << CHUNK_SHIFT if later else MAX_FRAMES


def _is_run(entries: Sequence[int]) -> bool:
    """Say whether they are frames in sequence, all of one type."""
    first, count = entries[0], len(entries)
    if entries[-1] - first != count - 1:
        return False
    return count == 1 or tuple(entries) == tuple(range(first, first + count))
