"""Another user than we, and what is theirs; the tests run as root."""

import os
from pathlib import Path

import pytest

#: A user who is neither root nor we.
OTHER = 65534


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of another user's."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, OTHER, OTHER)
    return folder
