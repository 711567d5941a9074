"""Hypercalls the parent needs, made by a helper; and what xenstore says of domains."""

import errno

from libxlpy.domain.info import DomainFacts, DomainInfo
from libxlpy.errors import DomainNotFound, DomainOpError, UsageError
from libxlpy.process.link import HelperLink
from libxlpy.results.report import DomainType
from libxlpy.xenstore import Xenstore
from libxlpy_protocol.enums import Op
from libxlpy_protocol.fields import brief
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import DOMID_MAX, PAGE_SIZE

#: Argument of RESUME: the guest's suspend call returns "cancelled".
RESUME_CANCELLED = 1
#: The hypervisor has shadow paging; Xen: public/sysctl.h, XEN_SYSCTL_PHYSCAP_shadow.
CAN_SHADOW = 1 << 4
#: Xen: public/hvm/params.h, HVM_PARAM_*.
PARAM_CALLBACK_IRQ = 0
PARAM_ACPI_S_STATE = 14
NOT_THERE = frozenset({errno.ESRCH, errno.ENOENT})


def check_domid(domid: object) -> int:
    """Give a domid that can be one.

    Raises:
        UsageError: It is no int or out of range.
    """
    if type(domid) is not int or not 0 <= domid <= DOMID_MAX:
        raise UsageError(f"not a domid: {brief(domid)}")
    return domid


async def find(ops: HelperLink, domid: int, uuid: str = "") -> DomainFacts | None:
    """Give what the hypervisor knows of a domain; None if it does not exist.

    Args:
        ops: Asks the hypervisor.
        domid: Of the domain.
        uuid: Of the domain that is meant; "" for whichever has the domid.

    Raises:
        DomainReused: Another domain has the domid.
        DomainOpError: It could not be asked, e.g. for want of permission.
        BackendError: The helper is gone or does not answer.
    """
    result = await ops.op(Op.INFO, domid, uuid=uuid)
    if result.retval >= 0:
        return DomainFacts.from_result(result)
    if result.errnoval in NOT_THERE:
        return None
    raise DomainOpError("INFO", domid, result.retval, result.errnoval)


async def get(ops: HelperLink, domid: int, uuid: str = "") -> DomainFacts:
    """As :func:`find`, for a domain that must exist.

    Raises:
        DomainNotFound: It does not.
    """
    facts = await find(ops, domid, uuid)
    if facts is None or facts.dying:
        raise DomainNotFound(domid)
    return facts


async def has_shadow(ops: HelperLink) -> bool:
    """Tell whether the hypervisor has shadow paging, which logs PV guests' writes.

    Raises:
        DomainOpError: It could not be asked.
        BackendError: The helper is gone or does not answer.
    """
    result = await ops.checked_op(Op.CAPABILITIES, 0)
    return bool(result.values and result.values[0] & CAN_SHADOW)


class HostMemory(Value):
    """What the hypervisor says of a host's memory."""

    #: That no domain has, and that is claimed for none.
    free_kib: int
    #: Xen was booted with ``dom0_mem=``.
    is_dom0_sized: bool


async def host_memory(ops: HelperLink) -> HostMemory:
    """Ask for a host's memory.

    Raises:
        DomainOpError: It could not be asked for.
        BackendError: The helper is gone or does not answer.
    """
    free, claimed, sized = (await ops.checked_op(Op.MEMORY, 0)).values
    return HostMemory(max(free - claimed, 0) * PAGE_SIZE // 1024, bool(sized))


async def has_pv_drivers(ops: HelperLink, domid: int, uuid: str) -> bool:
    """Tell whether an HVM guest's PV drivers are there, and awake.

    Without a callback set by them, or in an ACPI sleep, it does not look at xenstore.

    Raises:
        DomainReused: Another domain has the domid.
        DomainOpError: It could not be asked.
        BackendError: The helper is gone or does not answer.

    Xen: tools/libs/light/libxl_dom_suspend.c, domain_suspend_callback_common().
    """
    callback = await _hvm_param(ops, domid, PARAM_CALLBACK_IRQ, uuid)
    return callback > 0 and await is_awake(ops, domid, uuid)


async def is_awake(ops: HelperLink, domid: int, uuid: str) -> bool:
    """Tell whether an HVM guest is in no ACPI sleep; errors as above."""
    return await _hvm_param(ops, domid, PARAM_ACPI_S_STATE, uuid) == 0


async def _hvm_param(ops: HelperLink, domid: int, number: int, uuid: str) -> int:
    result = await ops.checked_op(Op.HVM_PARAM, domid, number, uuid=uuid)
    return result.values[0] if result.values else 0


async def list_facts(ops: HelperLink) -> list[DomainFacts]:
    """Give all domains, lowest domid first."""
    found: list[DomainFacts] = []
    first = 0
    while first <= DOMID_MAX:
        result = await ops.checked_op(Op.LIST, 0, first)
        if result.retval == 0:
            break
        facts = DomainFacts.from_result(result)
        if facts.domid < first:
            break  # would not end
        found.append(facts)
        first = facts.domid + 1
    return found


# ----- with xenstore --------------------------------------------------------------


async def domain_type(store: Xenstore, facts: DomainFacts) -> DomainType:
    """Give a domain's type: the toolstack's word, else by what the hypervisor sees."""
    match await store.read_text(f"/libxl/{facts.domid}/type"):
        case "pv":
            return "pv"
        case "pvh":
            return "pvh"
        case "hvm":
            return "hvm"
    return "hvm" if facts.hvm else "pv"


async def describe(store: Xenstore, facts: DomainFacts) -> DomainInfo:
    """Give a domain with its name and type."""
    name = await store.read_text(f"/local/domain/{facts.domid}/name")
    return DomainInfo.of(facts, name, await domain_type(store, facts))
