"""Which configuration is stored: the file's, or the domain's with its domid."""

import json
from pathlib import Path

import pytest

from libxlpy.cli.save import Configuration, read_config, with_domid
from libxlpy.cli.terminal.outcome import CommandFailed


@pytest.mark.parametrize(
    ("text", "is_json"),
    [(b'{"c_info": {}}', True), (b'name = "x"\n', False), (b"[1]", False)],
)
def test_json_is_told_from_text(tmp_path: Path, text: bytes, is_json: bool) -> None:
    (tmp_path / "config").write_bytes(text)
    assert read_config(tmp_path / "config") == Configuration(text, json=is_json)


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b" \n", "is empty"), (b"a\0b", "holds a NUL"), (b"\xff", "is not UTF-8")],
)
def test_what_no_reader_takes_is_refused(
    tmp_path: Path, text: bytes, reason: str
) -> None:
    (tmp_path / "config").write_bytes(text)
    with pytest.raises(CommandFailed, match=reason):
        read_config(tmp_path / "config")


def test_deeply_nested_json_is_text(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"[" * 100_000)
    assert not read_config(tmp_path / "config").json


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
