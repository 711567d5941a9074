"""A block device to save to, that holds what was there before."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Bytes of the device; more than a guest of 4 MiB needs.
SIZE = 16 << 20
BEFORE = b"before! "


@pytest.fixture
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a block device that is full of what was there before."""
    backing = tmp_path_factory.mktemp("device") / "backing"
    backing.write_bytes(BEFORE * (SIZE // len(BEFORE)))
    argv = ["losetup", "--find", "--show", str(backing)]
    path = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    try:
        yield Path(path.strip())
    finally:
        subprocess.run(["losetup", "--detach", path.strip()], check=True)
