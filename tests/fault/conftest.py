"""One embedded host for the whole folder, and one domain of each type on it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy.simxen.client import request, start_host, stop_host
from tests.fault.victim import Victim

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
def victim(fault_host: Path, request: pytest.FixtureRequest) -> Iterator[Victim]:
    """Give a running domain that writes its memory all the time."""
    yield from new_victim(fault_host, request.param)


@pytest.fixture
def pv_victim(fault_host: Path) -> Iterator[Victim]:
    """Give a running PV domain."""
    yield from new_victim(fault_host, "pv")


@pytest.fixture
def hvm_victim(fault_host: Path) -> Iterator[Victim]:
    """Give a running HVM domain: it has the longest trace."""
    yield from new_victim(fault_host, "hvm")


def new_victim(directory: Path, kind: str) -> Iterator[Victim]:
    """Make a domain, and destroy it afterwards."""
    answer = request(
        directory,
        "create",
        name=f"victim-{kind}",
        type=kind,
        memory_mib=MEMORY_MIB,
        rate=2000,
        fill=True,
    )
    domain = Victim(directory, answer["domid"])
    yield domain
    request(directory, "destroy", domid=domain.domid)
