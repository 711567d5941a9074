"""Frames are kept as if each had an object of its own."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libxlpy.streams.page_map import CHUNK_FRAMES, MANY, MAX_FRAMES, PageMap
from libxlpy_protocol.stream.formats import DATA_PAGE_TYPES, PageType
from tests.unit.cli.inspect.files import entry

FRAMES = st.integers(0, 40) | st.integers(CHUNK_FRAMES - 20, CHUNK_FRAMES + 20)
BLOCKS = st.lists(
    st.lists(st.builds(entry, FRAMES, st.sampled_from(PageType)), min_size=1)
    | st.builds(
        lambda pfn, count, kind: [entry(pfn + n, kind) for n in range(count)],
        FRAMES,
        st.integers(1, 100),
        st.sampled_from(PageType),
    ),
    max_size=8,
)


def bytes_of(frames, first, count):
    """Give the bytes of ``count`` frames; 0 for those never named."""
    found = bytearray(count)
    for pfn, chunk in frames.chunks(first, count):
        found[pfn - first : pfn - first + len(chunk)] = chunk
    assert len(found) == count
    return bytes(found)


@settings(deadline=None)  # of a busy machine
@given(blocks=BLOCKS)
def test_blocks_of_any_kind_count_as_their_entries_do(blocks):
    frames, types, times = PageMap(), {}, Counter()
    for block in blocks:
        frames.add(tuple(block))
        for each in block:
            kind, pfn = PageType(each >> 60), each & ((1 << 52) - 1)
            types[pfn] = kind
            times[pfn] += kind in DATA_PAGE_TYPES
    model = Counter(kind << 4 | min(times[pfn], MANY) for pfn, kind in types.items())
    assert frames.histogram() == model
    assert frames.highest == max(types, default=-1)
    assert frames.beyond == -1
    end = frames.highest + 2
    for pfn, value in enumerate(bytes_of(frames, 0, end)):
        expected = types[pfn] << 4 | min(times[pfn], MANY) if pfn in types else 0
        assert value == expected


def test_times_beyond_what_fits_stay_many():
    frames = PageMap()
    for _ in range(MANY + 5):
        frames.add((7,))
    assert frames.histogram() == {MANY: 1}


def test_type_is_that_of_the_last_time():
    frames = PageMap()
    frames.add((entry(3), entry(4)))
    frames.add((entry(3, PageType.XTAB),))
    assert bytes_of(frames, 3, 2) == bytes([PageType.XTAB << 4 | 1, 1])


@pytest.mark.parametrize("scattered", [False, True])
def test_frames_beyond_the_limit_are_told_and_take_no_room(scattered):
    frames = PageMap()
    last = MAX_FRAMES + 1
    frames.add((5, last) if scattered else tuple(range(MAX_FRAMES - 1, last + 1)))
    assert frames.beyond == frames.highest == last
    assert sum(frames.histogram().values()) == 1


def test_what_was_never_named_is_passed_over():
    frames = PageMap()
    start = 9 * CHUNK_FRAMES
    frames.add((start + 5,))
    frames.add((MAX_FRAMES - 1,))
    assert [pfn for pfn, _ in frames.chunks(17, MAX_FRAMES - 17)] == [
        start,
        MAX_FRAMES - CHUNK_FRAMES,
    ]
    assert list(frames.chunks(start + 4, 3)) == [(start + 4, b"\0\1\0")]
    assert list(frames.chunks(10 * CHUNK_FRAMES, CHUNK_FRAMES)) == []
    assert frames.counts(start, 2 * CHUNK_FRAMES) == {0: 2 * CHUNK_FRAMES - 1, 1: 1}
