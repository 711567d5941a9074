"""A paused guest runs for as long as it takes to suspend, and is paused again.

A kernel that is asked to suspend has to run for that. What is taken off the guest is in
its facts, and so in the journal, before: whoever puts the guest right pauses it before
it is resumed, so that it never runs on.

Xen: xen/common/domain.c, domain_pause_by_systemcontroller(): pauses are counted.
"""

import errno

from libxlpy.domain import hypercalls
from libxlpy.errors import DomainOpError
from libxlpy.process.link import HelperLink
from libxlpy.results.report import GuestFacts
from libxlpy_protocol.enums import Op


async def is_held(ops: HelperLink, domid: int, uuid: str) -> bool:
    """Tell whether a guest could run, were it not paused.

    Raises:
        DomainReused: Another domain has the domid.
        BackendError: The hypervisor can't be asked.
    """
    found = await hypercalls.find(ops, domid, uuid)
    return found is not None and found.paused and not found.shut_down


async def lift(ops: HelperLink, domid: int, uuid: str, facts: GuestFacts) -> None:
    """Take off all pauses; somebody may do so at the same time.

    Raises:
        DomainReused: Another domain has the domid.
        DomainOpError: The hypervisor refused.
        BackendError: It can't be asked.
    """
    while await is_held(ops, domid, uuid):
        facts.note(lifted=facts.lifted + 1)
        result = await ops.op(Op.UNPAUSE, domid, uuid=uuid)
        if result.retval < 0:
            facts.note(lifted=facts.lifted - 1)
            if result.errnoval != errno.EINVAL:  # somebody was quicker
                raise DomainOpError("UNPAUSE", domid, result.retval, result.errnoval)


async def put_back(ops: HelperLink, domid: int, uuid: str, facts: GuestFacts) -> None:
    """Put back what was taken off, suspended or not; one that is paused stays as it is.

    Raises:
        DomainReused: Another domain has the domid.
        DomainOpError: The hypervisor refused.
        BackendError: It can't be asked.
    """
    found = await hypercalls.find(ops, domid, uuid)
    if found is None or found.paused:
        facts.lifted = 0
    while facts.lifted:
        await ops.checked_op(Op.PAUSE, domid, uuid=uuid)
        facts.lifted -= 1
