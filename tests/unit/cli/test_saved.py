"""A file of results that can't be written is named as it was given."""

from pathlib import Path

import pytest

from libxlpy.cli.saved import write_out
from libxlpy.cli.terminal.outcome import CommandFailed


def test_file_is_made_or_written_over(tmp_path: Path):
    path = tmp_path / "map.svg"
    for data in (b"longer", b"short"):
        write_out(path, data)
        assert path.read_bytes() == data


@pytest.mark.parametrize("path", ["/proc/self/map.svg", "/dev/full"])
def test_file_that_can_t_be_written_is_named(path: str):
    with pytest.raises(CommandFailed) as caught:
        write_out(Path(path), b"some")
    assert str(caught.value).startswith(f"can't write {path}: No s")
