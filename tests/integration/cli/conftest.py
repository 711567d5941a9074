"""One simxen host for the tests of a module."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.shell import Shell


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    """Commands on a host of their own; its folder is short, sockets are in it."""
    folder = Path(tempfile.mkdtemp(prefix="xlpy-cli-"))
    shell = Shell(folder / "host")
    shell.good("sim", "start")
    try:
        yield shell
        assert shell.domains() == []
    finally:
        shell.good("sim", "stop")
        assert list(folder.iterdir()) == []
        shutil.rmtree(folder)
