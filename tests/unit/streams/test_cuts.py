"""A file that ends too soon, at whichever byte, is told so, by offset."""

import pytest

from libxlpy.streams import Format, StreamParser, StreamRuleBroken
from tests.support import stream_samples as samples
from tests.unit.streams.feeding import outcome

FILES = {
    "pv": (samples.PV_FILE, Format.XL),
    "hvm": (samples.HVM_FILE, Format.XL),
    "remus": (samples.REMUS_STREAM, Format.LIBXL_CHECKPOINTED),
}
#: Bytes of a page's contents that are cut at, first and last; between, one is as good
#: as another.
PAGE_EDGE = 2


def cuts(data: bytes) -> list[int]:
    """Give every offset that is not in the middle of a page's contents."""
    edge = samples.PAGE[:PAGE_EDGE]
    skipped: set[int] = set()
    at = data.find(samples.PAGE)
    while at >= 0:
        skipped.update(range(at + len(edge), at + len(samples.PAGE) - len(edge)))
        at = data.find(samples.PAGE, at + len(samples.PAGE))
    return [cut for cut in range(len(data)) if cut not in skipped]


@pytest.mark.parametrize("name", FILES)
def test_every_byte_that_is_no_page_is_missed(name: str) -> None:
    data, format = FILES[name]
    whole, error = outcome([data], format)
    assert error is None
    parser = StreamParser(format)
    events = []
    for cut in cuts(data):
        events += parser.feed(data[parser.offset : cut])
        assert not parser.finished, cut
        with pytest.raises(StreamRuleBroken, match="the stream ends") as caught:
            parser.close()
        assert 0 <= caught.value.offset <= cut
        # Nothing else has changed: the same parser serves for the next cut.
        parser.error = None
    events += parser.feed(data[parser.offset :])
    parser.close()
    assert events == whole
