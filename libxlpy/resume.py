"""Let a suspended domain run again: device model first, then the guest.

Xen: tools/libs/light/libxl_dom_suspend.c, libxl__domain_resume().
"""

from libxlpy import domain_ops
from libxlpy.domain_ops import domain_type
from libxlpy.emulator import Emulator
from libxlpy.errors import UsageError
from libxlpy.ops import ops_helper
from libxlpy.repair import resume_guest
from libxlpy.surroundings import Surroundings
from libxlpy.xenstore import connect


async def domain_resume(
    around: Surroundings, domid: int, *, suspend_cancel: bool
) -> float | None:
    """Resume a domain that is in shutdown(suspend).

    Args:
        around: Backend and deadlines.
        domid: Of the domain.
        suspend_cancel: The guest's suspend call returns "cancelled".

    Returns:
        Milliseconds it was down, from seen suspended until now; None if no save of
        this context had suspended it.

    Raises:
        DomainNotFound: There is no such domain.
        UsageError: It is not suspended.
        QmpError: Its device model does not go on; the guest stays suspended.
        DomainOpError: The hypervisor refused; the guest stays suspended.
        XenstoreError: Xenstored can't be used.
        BackendError: The hypervisor can't be asked.
    """
    backend, deadlines = around.backend, around.deadlines
    async with ops_helper(around) as ops:
        facts = await domain_ops.get(ops, domid)
        if not facts.suspended:
            raise UsageError(f"domain {domid} is not suspended: nothing to resume")
        async with connect(
            backend.xenstore_socket, timeout=deadlines.xenstore
        ) as store:
            kind = await domain_type(store, facts)
        if kind == "hvm":
            await Emulator(domid, backend, deadlines).go_on()
        await resume_guest(around, ops, domid, cancelled=suspend_cancel)
    return around.suspended.resumed(domid, facts.uuid)
