"""JSON from outside: one kind of error, whatever is wrong."""

import json

import pytest

from libxlpy_protocol.json_text import (
    DEPTH_MAX,
    TEXT_MAX,
    JsonError,
    parse,
    parse_object,
)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "value",
    [{"a": [1, -2.5, None, True, "\u03a9"]}, 2**64 - 1, -(2**63), "\U0001f600", {}],
)
def test_what_is_json_is_read(value: object) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False)) == value


def test_depth_and_number_of_values_have_a_bound_that_is_reached() -> None:
    assert json.dumps(parse(nested(DEPTH_MAX)), indent=4)
    assert len(parse(b"[" + b"0," * 99_998 + b"0]")) == 99_999
    assert len(parse(b'"' + b"a" * (TEXT_MAX - 2) + b'"')) == TEXT_MAX - 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is not JSON: line 1, column 1"),
        (b'{"a":\n1', "it is not JSON: line 2, column 2"),
        (b"\xff", "it is not UTF-8"),
        (b"\xff\xfe1\0", "it is not UTF-8"),
        (nested(DEPTH_MAX + 1), "nested deeper than 64"),
        (nested(100_000), "nested deeper than 64"),
        (b'{"a":' * 50_000, "nested deeper than 64"),
        (b'"' + b"a" * (TEXT_MAX - 1) + b'"', "larger than 1048576 bytes"),
        (b"[" + b"[]," * 300_000 + b"0]", "more than 100,000 values"),
        (b"1e999", "a number in it is too large"),
        (b"-1e999", "a number in it is too large"),
        (b"9" * 5000, "a number in it is too large"),
        (b"18446744073709551616", "a number in it is too large"),
        (b"-9223372036854775809", "a number in it is too large"),
        (b"NaN", "NaN is no number"),
        (b"-Infinity", "-Infinity is no number"),
        (b'"\\ud800"', "holds half a character"),
        (b'{"\\udfff": 1}', "holds half a character"),
        ("\ud800", "it is not JSON"),
    ],
    ids=lambda value: f"{len(value)}-{value[:12]!r}",
)
def test_what_is_not_is_told_in_our_words(text: bytes | str, why: str) -> None:
    with pytest.raises(JsonError, match=why):
        parse(text)


@pytest.mark.parametrize("text", [b"[]", b"null", b"1", b'"x"'])
def test_an_object_is_asked_for(text: bytes) -> None:
    with pytest.raises(JsonError, match="it is JSON, but no object"):
        parse_object(text)
