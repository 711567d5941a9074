"""Files of a stranger: the work of a reader follows their size, whatever they hold."""

import sys
from collections.abc import Callable

import pytest

from libxlpy.cli.inspect.memory_map import lay_out
from libxlpy.streams import verify
from libxlpy.streams.summary import summarize
from tests.support.hostile_streams import HOSTILE
from tests.unit.cli.inspect.files import opened

SIZE = 33_000
#: Calls of functions, Python's and C's: for each byte of a file, and for any picture.
RATIO = 40
ANY_PICTURE = 2_000_000


class TooMuch(BaseException):
    """More was called than is right."""


def calls_of(work: Callable[[int], object], data: bytes, limit: int) -> int:
    """Count what is called; end what calls too much."""
    count = 0

    def called(_frame: object, event: str, _what: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")
        if count > limit:
            sys.setprofile(None)
            raise TooMuch(f"{count:,} calls for {len(data):,} bytes")

    with opened(data) as fd:
        before = sys.getprofile()
        sys.setprofile(called)
        try:
            work(fd)
        finally:
            sys.setprofile(before)
    return count


def plotted(fd: int) -> None:
    summary = summarize(fd)
    if summary.frames.highest >= 0:
        lay_out(summary.frames)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("work", [verify, summarize, plotted])
def test_work_follows_the_size_of_a_file(
    work: Callable[[int], object], name: str
) -> None:
    data = HOSTILE[name](SIZE)
    some = ANY_PICTURE if work is plotted else 0
    calls = calls_of(work, data, RATIO * len(data) + some)
    twice = HOSTILE[name](2 * SIZE)
    assert calls_of(work, twice, RATIO * len(twice) + some) < 2.5 * calls
