"""What we write as xl header is what the grammar reads."""

import pytest

from libxlpy.streams import Format, StreamParser, XlHeaderRead
from libxlpy.streams.xl import pack_header


@pytest.mark.parametrize(
    ("config", "json"), [(None, True), (b"{}", True), (b'name = "x"\n', False)]
)
def test_packed_headers_are_read_back(config: bytes | None, *, json: bool) -> None:
    packed = pack_header(config, json=json)
    parser = StreamParser(Format.XL_HEADER)
    (event,) = parser.feed(packed)
    assert event == XlHeaderRead(0, len(packed), 3 if json else 2, 0, config, json)
    assert parser.finished
    assert parser.wanted == 0
