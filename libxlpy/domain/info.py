"""What the hypervisor says of a domain, and what xenstore adds."""

import uuid as uuids
from typing import Self

from libxlpy.errors import BackendError
from libxlpy.results.report import DomainType, GuestState
from libxlpy_protocol.fields import brief
from libxlpy_protocol.messages import OpResult
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import (
    DOMINF_BLOCKED,
    DOMINF_DYING,
    DOMINF_PAUSED,
    DOMINF_RUNNING,
    DOMINF_SHUTDOWN,
    PAGE_SIZE,
    SHUTDOWN_CRASH,
    SHUTDOWN_NAMES,
    SHUTDOWN_SUSPEND,
)

#: Values of an INFO or LIST result.
VALUES = 8


class DomainFacts(Value):
    """A domain as the hypervisor sees it."""

    domid: int
    flags: int
    #: Number of the reason; only of use if it is shut down.
    shutdown_reason: int
    tot_pages: int
    max_pages: int
    vcpus: int
    cpu_time_ns: int
    #: Runs on hardware virtualisation: HVM or PVH.
    hvm: bool
    uuid: str

    @classmethod
    def from_result(cls, result: OpResult) -> Self:
        """Read the result of an INFO or LIST op.

        Raises:
            BackendError: It has not the values that it must have.
        """
        if len(result.values) < VALUES or len(result.uuid) != 16:
            raise BackendError(f"helper gave no domain info: {brief(result.values)}")
        domid, flags, reason, tot, most, vcpus, cpu, hvm = result.values[:VALUES]
        uuid = str(uuids.UUID(bytes=result.uuid))
        return cls(domid, flags, reason, tot, most, vcpus, cpu, bool(hvm), uuid)

    @property
    def memory_kib(self) -> int:
        """What it has of memory."""
        return self.tot_pages * PAGE_SIZE // 1024

    @property
    def suspended(self) -> bool:
        """In shutdown(suspend): frozen until resumed or destroyed."""
        return self.shut_down and self.shutdown_reason == SHUTDOWN_SUSPEND

    @property
    def shut_down(self) -> bool:
        """Shut down, for whatever reason."""
        return bool(self.flags & DOMINF_SHUTDOWN)

    @property
    def paused(self) -> bool:
        """Paused by a toolstack."""
        return bool(self.flags & DOMINF_PAUSED)

    @property
    def dying(self) -> bool:
        """Being destroyed."""
        return bool(self.flags & DOMINF_DYING)

    @property
    def reason(self) -> str:
        """Name of the shutdown reason."""
        number = self.shutdown_reason
        known = number < len(SHUTDOWN_NAMES)
        return SHUTDOWN_NAMES[number] if known else f"reason {number}"


def guest_state(facts: DomainFacts | None) -> GuestState:
    """Give where a guest is; ``facts`` is None for a domain that does not exist."""
    if facts is None or facts.dying:
        return GuestState.GONE
    if facts.suspended:
        return GuestState.SUSPENDED
    if facts.shut_down:
        return GuestState.SHUTDOWN
    return GuestState.PAUSED if facts.paused else GuestState.RUNNING


class DomainInfo(Value):
    """A domain as a person wants to see it."""

    domid: int
    #: Empty while it has none in xenstore.
    name: str
    uuid: str
    type: DomainType
    memory_kib: int
    vcpus: int
    cpu_time_ns: int
    running: bool
    paused: bool
    blocked: bool
    shutdown: bool
    #: ``"suspend"``, ``"crash"`` ...; empty while it is not shut down.
    shutdown_reason: str
    dying: bool
    crashed: bool

    @classmethod
    def of(cls, facts: DomainFacts, name: str, kind: DomainType) -> Self:
        """Put together what hypervisor and xenstore say."""
        return cls(
            domid=facts.domid,
            name=name,
            uuid=facts.uuid,
            type=kind,
            memory_kib=facts.memory_kib,
            vcpus=facts.vcpus,
            cpu_time_ns=facts.cpu_time_ns,
            running=bool(facts.flags & DOMINF_RUNNING),
            paused=facts.paused,
            blocked=bool(facts.flags & DOMINF_BLOCKED),
            shutdown=facts.shut_down,
            shutdown_reason=facts.reason if facts.shut_down else "",
            dying=facts.dying,
            crashed=facts.shut_down and facts.shutdown_reason == SHUTDOWN_CRASH,
        )
