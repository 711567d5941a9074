"""Finding where one JSON text ends, however it is cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libxlpy.simxen.json_text import json_end

TEXT = st.text(st.sampled_from('a"\\{}[] ü🍂\n'), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=5,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(TEXT, VALUES, max_size=4), st.booleans())
def test_end_is_found_and_no_earlier(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    for cut in range(1, len(text)):
        assert json_end(text[:cut]) == 0
    assert json_end(text + text) == len(text)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", 0),
        (b"x", 0),
        (b"x y\n{}", 4),
        (b'{"a', 0),
        (b'{"\\"}', 0),
        (b'{"}"}', 5),
        (b"{]", 2),
        (b"[[]", 0),
        (b"{\n}\n", 3),
    ],
)
def test_odd_text(data, end):
    assert json_end(data) == end
