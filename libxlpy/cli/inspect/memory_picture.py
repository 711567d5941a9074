"""The picture of `xlpy inspect --plot`: a map of memory, and a legend with counts.

Colours are by Okabe and Ito's rule: told apart by those who see fewer of them, and each
kind's second tone is darker, so that "sent again" shows in grey as well.
"""

from collections.abc import Iterator

from libxlpy.cli.inspect.facts import config_facts
from libxlpy.cli.inspect.memory_map import (
    NEVER,
    NO_PAGE,
    Gap,
    MemoryMap,
    Row,
    is_again,
    kind_of,
    lay_out,
    page_type_of,
)
from libxlpy.cli.inspect.picture import INK, PAPER, Box, Picture, Text
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy.cli.terminal.output import one_line, size_text
from libxlpy.streams.page_map import MAX_FRAMES
from libxlpy.streams.summary import FileSummary
from libxlpy_protocol.stream.formats import PageType
from libxlpy_protocol.xen import PAGE_SIZE

#: Units. The map is square at most; the legend is to its right.
LEFT, TOP, MAP = 92, 84, 768
LEGEND = LEFT + MAP + 36
WIDTH = LEGEND + 324
BOTTOM = 40
GAP_UNITS = 20
#: Between the labels of addresses, at least.
LABEL_UNITS = 44
ENTRY_UNITS, TONE_UNITS, SWATCH = 24, 21, 15

#: Page type -> colours when sent once and again, and what it is.
_LOOKS: dict[PageType | None, tuple[str, str, str]] = {
    PageType.NOTAB: ("#a6d1ef", "#0b5c99", "ordinary memory"),
    PageType.L1TAB: ("#f7cf83", "#b36b00", "page table, level 1"),
    PageType.L2TAB: ("#86d6bb", "#00684c", "page table, level 2"),
    PageType.L3TAB: ("#f3ea6d", "#8f8500", "page table, level 3"),
    PageType.L4TAB: ("#e6b3d0", "#94376d", "page table, level 4"),
    PageType.BROKEN: ("#d1301c", "#d1301c", "broken, contents lost"),
    PageType.XALLOC: ("#b9a99a", "#b9a99a", "allocated, no contents"),
    PageType.XTAB: ("#cccccc", "#cccccc", "no page"),
    None: ("#f0f0f0", "#f0f0f0", "never named"),
}
#: Pinned page tables look like others of their level, with a dot.
_PINNED = {
    PageType.L1TAB_PINNED: PageType.L1TAB,
    PageType.L2TAB_PINNED: PageType.L2TAB,
    PageType.L3TAB_PINNED: PageType.L3TAB,
    PageType.L4TAB_PINNED: PageType.L4TAB,
}
_FRAME = "#6b6b6b"


def picture_of(summary: FileSummary, file: str) -> Picture:
    """Draw the memory in a file.

    Args:
        summary: What was read of it.
        file: Its name.

    Raises:
        CommandFailed: There is no page in it, or one too high for any map.
    """
    if summary.frames.beyond >= 0:
        raise CommandFailed(
            f"no picture: frame {summary.frames.beyond:#x} lies beyond the limit of "
            f"{MAX_FRAMES:#x} frames"
        )
    if summary.frames.highest < 0:
        raise CommandFailed(f"no picture: there is no page in {file}")
    config = config_facts(summary.xl)
    name = config["name"] if config and config["name"] else file
    part = "" if summary.damage is None and summary.failure is None else " (damaged)"
    facts = [f"{file}{part}", size_text(summary.file_size or summary.size)]
    if summary.libxc is not None:
        major, minor = summary.libxc.xen_version
        kind = "PV" if summary.libxc.domain_type == "PV" else "HVM or PVH"
        facts.append(f"{kind} guest, saved by Xen {major}.{minor}")
    title = f"Memory of {name} by page type"
    return draw(lay_out(summary.frames), one_line(title), one_line(", ".join(facts)))


def draw(memory: MemoryMap, title: str, facts: str) -> Picture:
    """Draw a map.

    Args:
        memory: What to draw.
        title: The domain's name and how the picture is to be taken.
        facts: Second line: file, type, size.
    """
    picture = Picture(WIDTH, 0, title)
    cell = MAP // memory.columns
    bottom = _draw_lines(picture, memory, cell)
    legend = _draw_legend(picture, memory)
    picture.height = max(bottom, legend) + BOTTOM
    picture.texts += [
        Text(LEFT, 32, title, 20, bold=True),
        Text(LEFT, 54, facts),
        Text(LEFT, TOP - 10, _scale(memory), 12),
    ]
    return picture


def _scale(memory: MemoryMap) -> str:
    frames = memory.cell_frames
    row = exact_size(memory.columns * frames)
    if frames == 1:
        return f"A cell is one page of 4 KiB, a row {row}."
    return (
        f"A cell is {frames:,} pages ({exact_size(frames)}) in the colour of the "
        f"commonest kind, a row {row}."
    )


def exact_size(frames: int) -> str:
    """Give the size of so many frames in the largest unit that needs no fraction."""
    kib = frames * PAGE_SIZE >> 10
    for unit, bits in (("TiB", 30), ("GiB", 20), ("MiB", 10)):
        if kib % (1 << bits) == 0:
            return f"{kib >> bits:,} {unit}"
    return f"{kib:,} KiB"


# ---- the map ---------------------------------------------------------------------


def _draw_lines(picture: Picture, memory: MemoryMap, cell: int) -> int:
    """Draw rows and gaps; give where they end."""
    y, labelled = TOP, -LABEL_UNITS
    boxes: list[Box] = []
    dots: list[Box] = []
    after_gap = False
    for line in memory.lines:
        if isinstance(line, Gap):
            _draw_gap(picture, line, y)
            y += GAP_UNITS
            after_gap = True
            continue
        if after_gap or y - labelled >= LABEL_UNITS:
            _label(picture, line.first, y)
            labelled, after_gap = y, False
        boxes += _runs(line, y, cell)
        dots += _dots(line, y, cell)
        y += cell
    picture.boxes += sorted(_merged(boxes), key=lambda box: box.colour) + dots
    return y


def _label(picture: Picture, first: int, y: int) -> None:
    address = exact_size(first) if first else "0"
    picture.boxes.append(Box(LEFT - 6, y, 6, 1, _FRAME))
    picture.texts.append(Text(LEFT - 10, y + 9, address, 12, anchor="end"))


def _draw_gap(picture: Picture, gap: Gap, y: int) -> None:
    text = f"{size_text(gap.frames * PAGE_SIZE)} without pages"
    for edge in (y + 2, y + GAP_UNITS - 3):
        picture.boxes += [
            Box(x, edge, 6, 1, _FRAME) for x in range(LEFT, LEFT + MAP, 12)
        ]
    picture.texts.append(Text(LEFT + MAP // 2, y + 14, text, 12, anchor="middle"))


def _runs(row: Row, y: int, cell: int) -> Iterator[Box]:
    """Give one box for each run of cells of a colour."""
    start = 0
    colours = [_colour(kind) for kind in row.cells]
    for at in range(1, len(colours) + 1):
        if at == len(colours) or colours[at] != colours[start]:
            width = (at - start) * cell
            yield Box(LEFT + start * cell, y, width, cell, colours[start])
            start = at


def _merged(boxes: list[Box]) -> list[Box]:
    """Join boxes of one colour that lie exactly below each other."""
    open_boxes: dict[tuple[int, int, int, str], Box] = {}
    done: list[Box] = []
    for box in boxes:
        above = open_boxes.pop((box.x, box.width, box.y, box.colour), None)
        height = box.height + (above.height if above else 0)
        top = above.y if above else box.y
        joined = Box(box.x, top, box.width, height, box.colour)
        open_boxes[joined.x, joined.width, top + height, joined.colour] = joined
    done += open_boxes.values()
    return done


def _dots(row: Row, y: int, cell: int) -> Iterator[Box]:
    for at, kind in enumerate(row.cells):
        if page_type_of(kind) in _PINNED:
            yield _dot(LEFT + at * cell, y, cell, kind)


def _dot(x: int, y: int, cell: int, kind: int) -> Box:
    size = max(cell // 3, 2)
    inset = (cell - size) // 2
    return Box(x + inset, y + inset, size, size, PAPER if is_again(kind) else INK)


# ---- the legend ------------------------------------------------------------------


def _draw_legend(picture: Picture, memory: MemoryMap) -> int:
    """Draw what the colours mean and how much there is; give where it ends."""
    y = TOP + 12
    for page_type in (*PageType, None):
        tones = _tones(memory, page_type)
        if not tones:
            continue
        name = page_type.name if page_type is not None else "(blank)"
        meaning = _look(page_type)[2]
        picture.texts += [
            Text(LEGEND, y, name, bold=True),
            Text(WIDTH - 16, y, meaning, 12, anchor="end"),
        ]
        for kind, frames in tones:
            y += TONE_UNITS
            _draw_tone(picture, kind, frames, y)
        y += ENTRY_UNITS + 8
    return y


def _tones(memory: MemoryMap, page_type: PageType | None) -> list[tuple[int, int]]:
    if page_type is None:
        shown = any(
            NEVER in line.cells for line in memory.lines if isinstance(line, Row)
        )
        return [(NEVER, 0)] if shown else []
    kinds = {kind_of(page_type), kind_of(page_type, again=True)}
    return [(k, memory.counts[k]) for k in sorted(kinds) if memory.counts.get(k)]


def _draw_tone(picture: Picture, kind: int, frames: int, y: int) -> None:
    picture.boxes += [
        Box(LEGEND, y - SWATCH + 3, SWATCH, SWATCH, _FRAME),
        Box(LEGEND + 1, y - SWATCH + 4, SWATCH - 2, SWATCH - 2, _colour(kind)),
    ]
    if page_type_of(kind) in _PINNED:
        picture.boxes.append(_dot(LEGEND, y - SWATCH + 3, SWATCH, kind))
    if kind == NEVER:
        text = "not in the file"
    else:
        text = f"{frames:,} ({size_text(frames * PAGE_SIZE)}){_how_often(kind)}"
    picture.texts.append(Text(LEGEND + SWATCH + 8, y, text))


def _how_often(kind: int) -> str:
    page_type = page_type_of(kind)
    if kind == NO_PAGE or page_type in (PageType.BROKEN, PageType.XALLOC):
        return ""
    return " sent again" if is_again(kind) else " sent once"


def _look(page_type: PageType | None) -> tuple[str, str, str]:
    if page_type is not None and page_type in _PINNED:
        once, again, meaning = _LOOKS[_PINNED[page_type]]
        return once, again, f"{meaning}, pinned"
    return _LOOKS[page_type]


def _colour(kind: int) -> str:
    once, again, _ = _look(page_type_of(kind))
    return again if is_again(kind) else once
