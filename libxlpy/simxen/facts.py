"""What a host tells of its domains: flags for hypercalls, words for the control socket.

Source: Xen, xen/include/public/domctl.h, XEN_DOMINF_*.
"""

from typing import Any

from libxlpy.simxen.domain import Domain
from libxlpy.simxen.vcpu import Tracker
from libxlpy_protocol.xen import (
    DOMINF_BLOCKED,
    DOMINF_DYING,
    DOMINF_HVM_GUEST,
    DOMINF_PAUSED,
    DOMINF_RUNNING,
    DOMINF_SHUTDOWN,
)

#: Type of a domain as libsimxen has it: PVH is HVM to it.
TYPE_PV = 1
TYPE_HVM = 2


def domain_type(domain: Domain) -> int:
    """Give the type as hypercalls have it."""
    return TYPE_PV if domain.spec.type == "pv" else TYPE_HVM


def domain_flags(domain: Domain) -> int:
    """Give the state flags that getdomaininfo shows."""
    stopped = domain.dying or domain.shutdown_reason is not None
    busy = domain.can_run and domain.vcpu["arch.rate"]
    facts = (
        (domain.dying, DOMINF_DYING),
        (domain_type(domain) == TYPE_HVM, DOMINF_HVM_GUEST),
        (domain.shutdown_reason is not None, DOMINF_SHUTDOWN),
        (domain.pauses, DOMINF_PAUSED),
        (not busy and not stopped, DOMINF_BLOCKED),
        (busy, DOMINF_RUNNING),
    )
    return sum(flag for holds, flag in facts if holds)


def domain_values(domain: Domain) -> list[int]:
    """Give what the hypercalls INFO and LIST answer.

    Source: helper/src/simxen/simxen.h, SIMXEN_INFO_*.
    """
    nr_pages = domain.spec.nr_pages
    return [
        domain.domid,
        domain_flags(domain),
        domain.shutdown_reason or 0,
        nr_pages,
        nr_pages,
        domain.spec.vcpus,
        domain.cpu_time_ns,
        domain_type(domain),
        int.from_bytes(domain.uuid.bytes[:8], "little"),
        int.from_bytes(domain.uuid.bytes[8:], "little"),
        int(domain.logdirty),
        domain.outstanding_pages,
    ]


def domain_facts(domain: Domain, name: str) -> dict[str, Any]:
    """Give what ``list`` and ``info`` of the control socket show of a domain."""
    return {
        "domid": domain.domid,
        "name": name,
        "type": domain.spec.type,
        "uuid": str(domain.uuid),
        "memory_mib": domain.spec.memory_mib,
        "vcpus": domain.spec.vcpus,
        "paused": bool(domain.pauses),
        "running": domain.can_run,
        "shutdown": domain.shutdown_reason is not None,
        "shutdown_reason": domain.shutdown_reason,
        "dying": domain.dying,
        "valid": domain.valid,
        "launched": domain.launched,
        "guest_pid": domain.guest.pid if domain.guest else None,
        "guest_id": domain.vcpu["arch.guest_id"],
        "counter": domain.vcpu["arch.counter"],
        "suspend_count": domain.vcpu["arch.suspend_count"],
        "restored_count": domain.vcpu["arch.restored_count"],
        "logdirty": domain.logdirty,
        "claimed": domain.outstanding_pages,
        "tracker": Tracker(domain.vcpu["tracker_state"]).name.lower(),
        "suspend_channel": _channel_facts(domain),
        "fault": domain.faults.fault.name if domain.faults.fault else "",
        "config": domain.spec.config,
    }


def _channel_facts(domain: Domain) -> dict[str, Any] | None:
    channel = domain.suspend_channel
    if channel is None:
        return None
    return {"bound": channel.bound, "requests": channel.requests}
