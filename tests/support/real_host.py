"""A real host or two, and a context on one; nothing may block the event loop."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from libxlpy import Context, Deadlines
from libxlpy.simxen.client import request, start_host, stop_host
from libxlpy.simxen.errors import HostNotRunning
from tests.support.blocking import nothing_may_block
from tests.support.guest import Guest

#: Short where a test waits for one to pass.
QUICK = Deadlines(
    suspend_ack=1.5, suspend=1.5, qemu=1.5, heartbeat=2.0, abort_grace=3.0
)


@contextmanager
def running_host(
    *, may_die: bool = False, memory_mib: int | None = None
) -> Iterator[Path]:
    """Run a host; its folder has a short name, as its sockets' paths are limited."""
    directory = Path(tempfile.mkdtemp(prefix="xlpy-p-"))
    try:
        start_host(directory, memory_mib=memory_mib)
        yield directory
        try:
            stop_host(directory)
        except HostNotRunning:
            if not may_die:
                raise
            start_host(directory)  # cleans what the killed one left
            stop_host(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def host() -> Iterator[Path]:
    """Run the host that most tests share."""
    with running_host() as directory:
        yield directory


@pytest.fixture(scope="session")
def second_host() -> Iterator[Path]:
    """Run another one, that guests move to."""
    with running_host() as directory:
        yield directory


@pytest.fixture
def other_host(second_host: Path) -> Iterator[Path]:
    """Give a second host that has no domain and no job."""
    yield second_host
    for facts in request(second_host, "list")["domains"]:
        request(second_host, "destroy", domid=facts["domid"])
    for path in (second_host / "jobs").glob("*"):
        path.unlink()


@pytest.fixture
def own_host() -> Iterator[Path]:
    """Run a host for one test, which may kill it."""
    with running_host(may_die=True) as directory:
        yield directory


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
