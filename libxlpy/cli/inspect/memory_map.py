"""Where each part of a guest's memory goes in a picture: rows of cells, and gaps.

Frames run left to right and top to bottom. A cell is a power of two of frames and shows
the commonest kind of frame in it, the kind being page type and "sent again"; a broken
page shows whatever is around it. Long stretches without pages (the hole below 4 GiB,
above all) become gaps, so that a row is worth its place.
"""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator

from libxlpy.streams.page_map import CHUNK_FRAMES, MAX_FRAMES, PageMap
from libxlpy_protocol.stream.formats import PAGE_TYPE_NAMES, PageType
from libxlpy_protocol.value import Value

#: Cells in a row: powers of two, so that rows begin at round addresses.
MIN_COLUMNS, MAX_COLUMNS = 16, 128
#: Rows without pages in sequence, from which on they are a gap.
GAP_ROWS = 3
#: How many rows of `MAX_COLUMNS` a gap is as high as.
GAP_HEIGHT = 3

#: Kinds of frames, one byte each: never named, no page, then type and "sent again".
NEVER, NO_PAGE = 0, 1
EMPTY = bytes([NEVER, NO_PAGE])


def kind_of(page_type: int, *, again: bool = False) -> int:
    """Give the kind of a frame of a page type."""
    if page_type == PageType.XTAB:
        return NO_PAGE
    return (page_type + 1) << 1 | again


def page_type_of(kind: int) -> PageType | None:
    """Give the page type of a kind; None for a frame that was never named."""
    if kind <= NO_PAGE:
        return PageType.XTAB if kind else None
    return PageType((kind >> 1) - 1)


def is_again(kind: int) -> bool:
    """Say whether frames of a kind were sent more than once."""
    return kind > NO_PAGE and bool(kind & 1)


def _kind(value: int) -> int:
    """Give the kind of a frame from its byte in a `PageMap`."""
    if value == 0 or value >> 4 not in PAGE_TYPE_NAMES:
        return NEVER
    return kind_of(value >> 4, again=value & 15 > 1)


KINDS = bytes(map(_kind, range(256)))
_BROKEN = frozenset(kind_of(PageType.BROKEN, again=again) for again in (False, True))


class Row(Value):
    """Cells from frame ``first`` on, a kind each."""

    first: int
    cells: bytes


class Gap(Value):
    """Frames without pages, from ``first`` on."""

    first: int
    frames: int


class MemoryMap(Value):
    """A guest's memory, laid out.

    Attributes:
        columns: Cells of a whole row.
        cell_frames: Frames of a cell.
        lines: Rows and gaps from the top.
        counts: Frames of each kind but `NEVER`.
    """

    columns: int
    cell_frames: int
    lines: tuple[Row | Gap, ...]
    counts: dict[int, int]


def lay_out(frames: PageMap) -> MemoryMap:
    """Lay a guest's memory out in the finest cells that fit.

    Args:
        frames: At least one frame was named, and none lies above `MAX_FRAMES`.
    """
    counts: dict[int, int] = {}
    for value, count in frames.histogram().items():
        counts[KINDS[value]] = counts.get(KINDS[value], 0) + count
    pages = sum(count for kind, count in counts.items() if kind not in EMPTY)
    cell, columns = _first_try(pages)
    chunks = frames.chunks(0, MAX_FRAMES)
    paged = array("I", (pfn for pfn, chunk in chunks if _has_pages(chunk)))
    while (lines := _fitting(frames, paged, cell * columns, columns)) is None:
        if columns < MAX_COLUMNS:
            columns *= 2
        else:
            cell *= 2
    rows = tuple(_line(frames, line, cell, cell * columns) for line in lines)
    return MemoryMap(columns, cell, rows, counts)


def _first_try(pages: int) -> tuple[int, int]:
    """Give frames of a cell, and columns, that would do for pages in one place."""
    cell = 1
    while pages > cell * MAX_COLUMNS**2:
        cell *= 2
    columns = MIN_COLUMNS
    while columns < MAX_COLUMNS and columns**2 * cell < pages:
        columns *= 2
    return cell, columns


def _fitting(
    frames: PageMap, paged: "array[int]", row: int, height: int
) -> list[Gap | int] | None:
    """Give first frames of rows, and gaps; None if they are too high."""
    lines = []
    for line in _stretches(frames, paged, row):
        lines.append(line)
        height -= GAP_HEIGHT if isinstance(line, Gap) else 1
        if height < 0:
            return None
    return lines


def _has_pages(chunk: bytearray) -> bool:
    return bool(chunk.translate(KINDS).translate(None, EMPTY))


# ---- rows and gaps ---------------------------------------------------------------


def _stretches(frames: PageMap, paged: "array[int]", row: int) -> Iterator[Gap | int]:
    """Give first frames of rows, and gaps, without looking at cells."""
    end = frames.highest + 1
    empty = pfn = 0
    while pfn < end:
        following = _next_page(frames, paged, pfn, row)
        if following == pfn:
            yield from _empty(pfn - empty, empty, row)
            empty = 0
            yield pfn
            pfn += row
        else:
            empty += min(following, _up(end, row)) - pfn
            pfn = following
    if empty and end - (_up(end, row) - empty) > 0:
        yield from _empty(_up(end, row) - empty, empty, row)


def _next_page(frames: PageMap, paged: "array[int]", pfn: int, row: int) -> int:
    """Give the first row from ``pfn`` on that may have pages; ``pfn`` if it has.

    Args:
        frames: All.
        paged: Where chunks with pages start, in order.
        pfn: Start of a row.
        row: Frames of a row.
    """
    place = bisect_right(paged, pfn - CHUNK_FRAMES)  # it may reach into the row
    if place == len(paged):
        return MAX_FRAMES
    if paged[place] >= pfn + row:
        return paged[place] // row * row
    if row >= CHUNK_FRAMES or any(_has_pages(c) for _, c in frames.chunks(pfn, row)):
        return pfn
    return pfn + row


def _empty(first: int, count: int, row: int) -> Iterator[Gap | int]:
    if count >= GAP_ROWS * row:
        yield Gap(first, count)
    else:
        yield from range(first, first + count, row)


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


# ---- cells -----------------------------------------------------------------------


def _line(frames: PageMap, line: Gap | int, cell: int, row: int) -> Row | Gap:
    if isinstance(line, Gap):
        return line
    end = min(line + row, frames.highest + 1)
    cells = (frames.counts(at, min(cell, end - at)) for at in range(line, end, cell))
    return Row(line, bytes(map(_commonest, cells)))


def _commonest(values: Counter[int]) -> int:
    """Give the commonest kind of a cell, of how many frames have each byte value."""
    kinds: Counter[int] = Counter()
    for value, count in values.items():
        kinds[KINDS[value]] += count
    present = sorted((kind for kind in kinds if kinds[kind]), reverse=True)
    broken = _BROKEN.intersection(present)
    return max(broken) if broken else max(present, key=kinds.__getitem__)
