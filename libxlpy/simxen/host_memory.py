"""What memory a host has for its domains: the machine's, or less if it was told so.

As in Xen a domain that is to be restored has nothing yet; what it gets while its stream
is read may be claimed for it before, so that nobody else takes it.

Source: Xen, xen/common/page_alloc.c, domain_set_outstanding_pages().
"""

import errno
from collections.abc import Collection
from pathlib import Path

from libxlpy.simxen.domain import Domain
from libxlpy.simxen.errors import HypercallError, SimxenError
from libxlpy.simxen.spec import DomainSpec
from libxlpy_protocol.xen import PAGE_SIZE

MIB = 1 << 20


class HostMemory:
    """The memory of one host."""

    def __init__(self, domains: dict[int, Domain], size_mib: int | None) -> None:
        """Take it.

        Args:
            domains: Of the host, as they come and go.
            size_mib: All that they may have; None for what the machine has.
        """
        self._domains = domains
        self._size_mib = size_mib

    def check(self, spec: DomainSpec) -> None:
        """Refuse a domain that there is no memory for.

        Raises:
            SimxenError: Names how much is free.
        """
        free_mib = (self.free() - self._outstanding()) // MIB
        if spec.memory_mib > free_mib:
            raise SimxenError(
                f"not enough memory for {spec.memory_mib} MiB: {max(free_mib, 0)} MiB "
                "are free; ask for less or destroy another domain"
            )

    def free(self) -> int:
        """Give the bytes that no domain has, what is claimed of them included."""
        domains = [each for each in self._domains.values() if not each.dying]
        machine = _available() - _promised(domains) + self._outstanding()
        if self._size_mib is None:
            return max(machine, 0)
        used = sum(
            each.memory.size if each.valid else each.memory.resident for each in domains
        )
        return max(min(machine, self._size_mib * MIB - used), 0)

    def claim(self, domain: Domain, pages: int) -> None:
        """Set pages aside for a domain, those that it has counted; 0: none any more.

        Raises:
            HypercallError: ENOMEM, there are fewer; EINVAL, it has a claim, or may not
                have so many.
        """
        if not pages:
            domain.claimed_pages = 0
            return
        if domain.claimed_pages or pages > domain.spec.nr_pages:
            raise HypercallError(errno.EINVAL)
        wanted = pages * PAGE_SIZE - domain.memory.resident
        # All that it may have is promised to it already, as far as the machine goes.
        limited = self._size_mib is not None
        if limited and wanted > self.free() - self._outstanding():
            raise HypercallError(errno.ENOMEM)
        domain.claimed_pages = pages

    def _outstanding(self) -> int:
        return sum(each.outstanding_pages for each in self._domains.values()) * (
            PAGE_SIZE
        )


def _promised(domains: Collection[Domain]) -> int:
    """Give the bytes that domains may use and do not yet."""
    return sum(max(each.memory.size - each.memory.resident, 0) for each in domains)


def _available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SimxenError("the kernel does not say how much memory is available")
