"""Which configuration is stored: the file's, or the domain's with its domid."""

import json
from pathlib import Path

import pytest

from libxlpy.cli.config import Configuration, read_config, with_domid
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy.cli.terminal.output import Output


@pytest.mark.parametrize(
    ("text", "is_json"),
    [(b'{"c_info": {}, "b_info": {}}', True), (b'name = "x"\n', False)],
)
def test_json_is_told_from_text(tmp_path: Path, text: bytes, is_json: bool) -> None:
    (tmp_path / "config").write_bytes(text)
    assert read_config(Output(), tmp_path / "config") == Configuration(
        text, json=is_json
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b" \n", "is empty"),
        (b"a\0b", "holds a NUL"),
        (b"\xff", "is not UTF-8"),
        (b"[]", "it is JSON, but no object"),
        (b"null", "it is JSON, but no object"),
        (b'{"a": 1', "it is not JSON: line 1, column 8"),
        (b"{}", "it is JSON, but none of libxl's: it has no c_info"),
        (b'{"c_info": []}', "it has no c_info"),
        (b'{"c_info": {}}', "it has no b_info"),
        (b'{"a": 1e999}', "a number in it is too large"),
        (b"[" * 99_999, "nested deeper than 64 levels"),
    ],
)
def test_what_no_reader_takes_is_refused(
    tmp_path: Path, text: bytes, reason: str
) -> None:
    (tmp_path / "config").write_bytes(text)
    with pytest.raises(CommandFailed, match=reason):
        read_config(Output(), tmp_path / "config")


def test_the_domid_is_stored_in_json() -> None:
    for text in (b'{"c_info": {"name": "x"}}', b"{}"):
        stored = with_domid(Configuration(text, json=True), 7)
        assert json.loads(stored.text)["c_info"]["domid"] == 7


def test_the_domid_can_not_be_stored_in_text() -> None:
    for config in (
        Configuration(b'name = "x"', json=False),
        Configuration(b'{"c_info": 1}', json=True),
    ):
        with pytest.raises(CommandFailed, match="-D needs a JSON configuration"):
            with_domid(config, 7)
