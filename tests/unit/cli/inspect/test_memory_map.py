"""Every frame has its place on the map, in cells that fit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libxlpy.cli.inspect.memory_map import (
    EMPTY,
    GAP_HEIGHT,
    GAP_ROWS,
    MAX_COLUMNS,
    MIN_COLUMNS,
    NEVER,
    NO_PAGE,
    Gap,
    is_again,
    kind_of,
    lay_out,
    page_type_of,
)
from libxlpy.streams.page_map import MAX_FRAMES, PageMap
from libxlpy_protocol.stream.formats import PageType
from tests.unit.cli.inspect.files import entry

ONCE, AGAIN = kind_of(PageType.NOTAB), kind_of(PageType.NOTAB, again=True)


def frames_of(*runs: tuple[int, int, PageType]) -> PageMap:
    frames = PageMap()
    for first, count, kind in runs:
        frames.add(tuple(entry(pfn, kind) for pfn in range(first, first + count)))
    return frames


@settings(deadline=None, max_examples=40)  # of a busy machine
@given(
    runs=st.lists(
        st.tuples(
            st.sampled_from([0, 700, 70_000, 0xFEFF8, MAX_FRAMES - 3000]),
            st.integers(1, 2000),
            st.sampled_from([PageType.NOTAB, PageType.L1TAB, PageType.XTAB]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_lines_cover_all_frames_in_order(runs):
    frames = frames_of(*runs)
    memory = lay_out(frames)
    row = memory.columns * memory.cell_frames
    pfn = height = 0
    for line in memory.lines:
        assert line.first == pfn
        if isinstance(line, Gap):
            assert line.frames % row == 0
            assert line.frames >= GAP_ROWS * row
            pfn += line.frames
            height += GAP_HEIGHT
        else:
            pfn += row
            height += 1
    assert frames.highest < pfn < frames.highest + 1 + row
    assert height <= memory.columns
    assert sum(memory.counts.values()) == sum(frames.histogram().values())


@settings(deadline=None)  # of a busy machine
@given(st.integers(0, MAX_FRAMES - 600))
def test_every_page_is_in_a_row(first):
    memory = lay_out(frames_of((0, 4, PageType.NOTAB), (first, 500, PageType.L2TAB)))
    assert memory.cell_frames == 1
    shown = {
        line.first + at
        for line in memory.lines
        if not isinstance(line, Gap)
        for at, kind in enumerate(line.cells)
        if kind not in EMPTY
    }
    assert shown == {*range(4), *range(first, first + 500)}


@pytest.mark.parametrize(
    ("pages", "columns", "cell"),
    [
        (1, MIN_COLUMNS, 1),
        (256, 16, 1),
        (257, 32, 1),
        (MAX_COLUMNS**2, MAX_COLUMNS, 1),
        (MAX_COLUMNS**2 + 1, MAX_COLUMNS, 2),
        (1 << 20, MAX_COLUMNS, 64),
    ],
)
def test_cells_are_as_fine_as_fits(pages, columns, cell):
    memory = lay_out(frames_of((0, pages, PageType.NOTAB)))
    assert (memory.columns, memory.cell_frames) == (columns, cell)


def test_cell_shows_the_commonest_kind():
    pages = 2 * MAX_COLUMNS**2
    frames = frames_of((0, 2 * pages, PageType.NOTAB), (0, 3, PageType.NOTAB))
    memory = lay_out(frames)
    assert memory.cell_frames == 4
    assert memory.lines[0].cells[:2] == bytes([AGAIN, ONCE])


def test_broken_page_shows_among_all_others():
    pages = 4 * MAX_COLUMNS**2
    frames = frames_of((0, pages, PageType.NOTAB), (6, 1, PageType.BROKEN))
    cells = lay_out(frames).lines[0].cells
    assert [page_type_of(kind) for kind in cells[:3]] == [
        PageType.NOTAB,
        PageType.BROKEN,
        PageType.NOTAB,
    ]


def test_memory_without_pages_is_one_gap():
    memory = lay_out(frames_of((0, 1000, PageType.XTAB)))
    assert memory.lines == (Gap(0, 1008),)
    assert memory.counts == {NO_PAGE: 1000}


@pytest.mark.parametrize("kind", PageType)
def test_kinds_tell_type_and_repeats_apart(kind):
    once, again = kind_of(kind), kind_of(kind, again=True)
    assert page_type_of(once) is page_type_of(again) is kind
    assert not is_again(once)
    assert is_again(again) is (kind is not PageType.XTAB)
    assert NEVER not in (once, again)
