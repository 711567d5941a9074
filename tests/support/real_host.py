"""A real host and a context on it; nothing may block the event loop."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libxlpy import Context, Deadlines
from libxlpy.simxen.client import start_host, stop_host
from libxlpy.simxen.errors import HostNotRunning
from tests.support.blocking import nothing_may_block
from tests.support.guest import Guest

#: Short where a test waits for one to pass.
QUICK = Deadlines(
    suspend_ack=1.5, suspend=1.5, qemu=1.5, heartbeat=2.0, abort_grace=3.0
)


@pytest.fixture(scope="session")
def host() -> Iterator[Path]:
    """Run a host; its folder has a short name, as its sockets' paths are limited."""
    directory = Path(tempfile.mkdtemp(prefix="xlpy-p-"))
    start_host(directory)
    yield directory
    stop_host(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def own_host() -> Iterator[Path]:
    """Run a host for one test, which may kill it."""
    directory = Path(tempfile.mkdtemp(prefix="xlpy-p-"))
    start_host(directory)
    yield directory
    try:
        stop_host(directory)
    except HostNotRunning:
        start_host(directory)  # cleans what the killed one left
        stop_host(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def nothing_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test whose loop is blocked."""
    with nothing_may_block(monkeypatch) as guard:
        # The tests' own questions to the host.
        for name, function in guard.functions.items():
            if name.startswith(("socket.", "io.")):
                function.can_block_in("libxlpy/simxen/client.py", "request")
                function.can_block_in("tests/support/guest.py", "control")
        yield


@pytest.fixture
async def ctx(host: Path, nothing_blocks: None) -> AsyncIterator[Context]:
    """Enter a context on the host."""
    async with Context("simxen", host, QUICK) as context:
        yield context


@pytest.fixture(params=["pv", "hvm"])
def guest(host: Path, request: pytest.FixtureRequest) -> Iterator[Guest]:
    """Give a running guest that writes its memory all the time."""
    with Guest(host, request.param) as made:
        yield made


@pytest.fixture
def pv(host: Path) -> Iterator[Guest]:
    """Give a running PV guest."""
    with Guest(host, "pv") as made:
        yield made


@pytest.fixture
def hvm(host: Path) -> Iterator[Guest]:
    """Give a running HVM guest."""
    with Guest(host, "hvm") as made:
        yield made


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """Give a pipe that nobody reads: a save gets stuck in it."""
    reading, writing = os.pipe()
    yield writing
    os.close(reading)
    os.close(writing)
