"""One simxen host for the tests of a module."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy.simxen.client import stop_host
from tests.support.shell import Shell


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    """Commands on a host of their own; its folder is short, sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="xlpy-cli-") as name:
        folder = Path(name)
        shell = Shell(folder / "host")
        shell.good("sim", "start")
        try:
            yield shell
            assert shell.domains() == []
        finally:
            stop_host(shell.host)
        assert list(folder.iterdir()) == []
