"""The domains that the faults happen to, on one embedded host."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from libxlpy.simxen.client import request
from tests.support.real_host import (
    ctx,
    host,
    hvm,
    nothing_blocks,
    other_host,
    pv,
    second_host,
)
from tests.support.victim import MEMORY_MIB, Victim

__all__ = [
    "ctx",
    "host",
    "hvm",
    "nothing_blocks",
    "other_host",
    "pv",
    "second_host",
]

AT_ONCE = 6  # victims: most of a fault's time is waiting


@pytest.fixture(params=["pv", "hvm"])
def victims(host: Path, request: pytest.FixtureRequest) -> Iterator[list[Victim]]:
    """Give running domains that write their memory all the time."""
    with ExitStack() as made:
        yield [
            made.enter_context(new_victim(host, request.param, number))
            for number in range(AT_ONCE)
        ]


@pytest.fixture(params=["pv", "hvm"])
def victim(host: Path, request: pytest.FixtureRequest) -> Iterator[Victim]:
    """Give one such domain."""
    with new_victim(host, request.param, 0) as made:
        yield made


@pytest.fixture
def pv_victim(host: Path) -> Iterator[Victim]:
    """Give one such PV domain."""
    with new_victim(host, "pv", 0) as made:
        yield made


@pytest.fixture
def hvm_victim(host: Path) -> Iterator[Victim]:
    """Give one such HVM domain: it leaves the most to be repaired."""
    with new_victim(host, "hvm", 0) as made:
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
