"""One embedded host for the whole folder, and the domains on it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from libxlpy.simxen.client import request, start_host, stop_host
from tests.fault.victim import Victim

AT_ONCE = 6  # victims: most of a fault's time is waiting
MEMORY_MIB = 4  # few batches: every message of the trace can be a case of its own


@pytest.fixture(scope="session")
def fault_host() -> Iterator[Path]:
    """Run a host; its folder has a short name, as its sockets' paths are limited."""
    directory = Path(tempfile.mkdtemp(prefix="xlpy-fault-"))
    start_host(directory)
    yield directory
    stop_host(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(params=["pv", "hvm"])
def victims(fault_host: Path, request: pytest.FixtureRequest) -> Iterator[list[Victim]]:
    """Give running domains that write their memory all the time."""
    with ExitStack() as made:
        yield [
            made.enter_context(new_victim(fault_host, request.param, number))
            for number in range(AT_ONCE)
        ]


@pytest.fixture(params=["pv", "hvm"])
def victim(fault_host: Path, request: pytest.FixtureRequest) -> Iterator[Victim]:
    """Give one such domain."""
    with new_victim(fault_host, request.param, 0) as made:
        yield made


@pytest.fixture
def pv_victim(fault_host: Path) -> Iterator[Victim]:
    """Give one such PV domain."""
    with new_victim(fault_host, "pv", 0) as made:
        yield made


@pytest.fixture
def hvm_victim(fault_host: Path) -> Iterator[Victim]:
    """Give one such HVM domain: it leaves the most to be repaired."""
    with new_victim(fault_host, "hvm", 0) as made:
        yield made


@contextmanager
def new_victim(directory: Path, kind: str, number: int) -> Iterator[Victim]:
    """Make a domain, and destroy it afterwards."""
    answer = request(
        directory,
        "create",
        name=f"victim-{kind}-{number}",
        type=kind,
        memory_mib=MEMORY_MIB,
        rate=2000,
        fill=True,
    )
    domain = Victim(directory, answer["domid"], kind)
    try:
        yield domain
    finally:
        request(directory, "destroy", domid=domain.domid)
        for path in (directory / "jobs").glob(f"{domain.domid}.*"):
            path.unlink()  # of a test that failed
