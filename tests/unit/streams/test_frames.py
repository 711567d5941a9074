"""Frames are kept as a set would keep them."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from libxlpy.streams.frames import MAX_FRAMES, NamedFrames

LAST = 200
PFNS = st.integers(0, LAST)
RUNS = st.builds(
    lambda first, count: range(first, min(first + count, LAST + 1)),
    PFNS,
    st.integers(1, LAST),
)
BLOCKS = st.lists(st.lists(PFNS, min_size=1, max_size=20) | RUNS, max_size=8)


def named(blocks: Iterable[Iterable[int]], last: int) -> NamedFrames:
    frames = NamedFrames(last)
    for block in blocks:
        frames.add(tuple(block))
    return frames


@given(blocks=BLOCKS)
def test_the_lowest_frame_that_is_missing_is_found(
    blocks: list[Iterable[int]],
) -> None:
    missing = set(range(LAST + 1)).difference(*blocks)
    assert named(blocks, LAST).first_missing() == min(missing, default=None)


@given(last=st.integers(0, 70), missing=st.integers(0, 70))
def test_a_single_one_is_found(last: int, missing: int) -> None:
    parts = (range(min(missing, last + 1)), range(missing + 1, last + 1))
    frames = named(filter(len, parts), last)
    assert frames.first_missing() == (missing if missing <= last else None)


def test_frames_beyond_the_limit_take_no_room() -> None:
    frames = NamedFrames(2**32)
    frames.add((MAX_FRAMES, MAX_FRAMES + 1))
    frames.add((MAX_FRAMES + 9, 3))
    frames.add(range(MAX_FRAMES - 5, MAX_FRAMES + 5))
    frames.add(range(3))
    assert frames.first_missing() == 4
