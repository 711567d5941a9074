"""What memory a host has, and what of it is claimed."""

import errno
from collections.abc import Iterator

import pytest

from libxlpy.simxen import host_memory
from libxlpy.simxen.domain import Domain
from libxlpy.simxen.errors import HypercallError, SimxenError
from libxlpy.simxen.host_memory import MIB, HostMemory
from libxlpy.simxen.spec import DomainSpec
from libxlpy_protocol.xen import PAGE_SIZE

PAGES = MIB // PAGE_SIZE


class Host:
    """A host of 100 MiB with domain 1, which is to be restored into."""

    def __init__(self, size_mib: int | None = 100) -> None:
        self.domains: dict[int, Domain] = {}
        self.memory = HostMemory(self.domains, size_mib)
        self.add(1, 40, restore=True)

    def add(self, domid: int, memory_mib: int, *, restore: bool = False) -> Domain:
        spec = DomainSpec(f"d{domid}", memory_mib=memory_mib, restore=restore)
        self.memory.check(spec)
        self.domains[domid] = Domain(domid, spec, lambda _: None)
        return self.domains[domid]

    def claim(self, mib: int) -> None:
        self.memory.claim(self.domains[1], mib * PAGES)

    def free(self) -> int:
        return self.memory.free() // MIB


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    for domain in made.domains.values():
        domain.memory.close()
        domain.vcpu.close()


def test_domain_that_runs_has_all_of_its_memory(host: Host):
    assert host.free() == 100
    host.add(2, 30)
    assert host.free() == 70
    with pytest.raises(SimxenError, match="memory for 71 MiB: 70 MiB are free"):
        host.add(3, 71)
    host.add(3, 70)


def test_what_is_claimed_nobody_else_gets(host: Host):
    host.claim(40)
    assert host.free() == 100
    assert host.domains[1].outstanding_pages == 40 * PAGES
    with pytest.raises(SimxenError, match="memory for 61 MiB: 60 MiB are free"):
        host.add(2, 61)
    host.add(2, 60)
    host.claim(0)
    assert host.domains[1].outstanding_pages == 0
    assert host.free() == 40


def test_what_has_come_is_no_longer_outstanding(host: Host):
    host.claim(40)
    memory = host.domains[1].memory.mapping
    memory[0 : 8 * MIB] = b"\1" * (8 * MIB)
    assert host.domains[1].outstanding_pages == 32 * PAGES
    assert host.free() == 92


@pytest.mark.parametrize(
    ("taken", "claims", "number"),
    [
        (61, [40], errno.ENOMEM),
        (60, [40, 40], errno.EINVAL),
        (0, [41], errno.EINVAL),
    ],
)
def test_claim_that_is_refused(host: Host, taken: int, claims: list[int], number: int):
    if taken:
        host.add(2, taken)
    *before, last = claims
    for mib in before:
        host.claim(mib)
    with pytest.raises(HypercallError) as caught:
        host.claim(last)
    assert caught.value.number == number


def test_what_others_may_use_is_not_free(monkeypatch: pytest.MonkeyPatch):
    """Without a size the host has what the machine has."""
    monkeypatch.setattr(host_memory, "_available", lambda: 50 * MIB)
    host = Host(None)
    assert host.free() == 10
    host.claim(40)
    assert host.free() - host.domains[1].outstanding_pages // PAGES == 10
    with pytest.raises(SimxenError, match="memory for 11 MiB: 10 MiB are free"):
        host.add(2, 11)
    host.domains[1].memory.close()
    host.domains[1].vcpu.close()
