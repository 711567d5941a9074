"""Let a suspended domain run again: device model first, then the guest.

Arguments and errors are those of ``requests``, but for what is said here.

Xen: tools/libs/light/libxl_dom_suspend.c, libxl__domain_resume().
"""

from typing import TYPE_CHECKING

from libxlpy.domain import hypercalls
from libxlpy.domain.hypercalls import RESUME_CANCELLED, domain_type
from libxlpy.domain.info import DomainFacts
from libxlpy.errors import UsageError
from libxlpy.later import Later
from libxlpy.process.environment import Environment
from libxlpy.process.link import HelperLink
from libxlpy.results.report import DomainType, GuestFacts
from libxlpy.xenstore import connect
from libxlpy_protocol.enums import Op

if TYPE_CHECKING:
    from libxlpy.domain import device_model
else:  # only an HVM guest has one, and whoever has saved that has loaded this
    device_model = Later("libxlpy.domain.device_model")


async def domain_resume(
    env: Environment, domid: int, uuid: str = "", *, suspend_cancel: bool
) -> str:
    """Resume a domain that is in shutdown(suspend).

    With ``suspend_cancel`` the guest's suspend call returns "cancelled".

    Returns:
        Its uuid.

    Raises:
        UsageError: It is not suspended.
        QmpError: Its device model does not go on; the guest stays suspended.
        DomainOpError: The hypervisor refused; the guest stays suspended.
    """
    async with env.hypercalls() as ops:
        facts = await hypercalls.get(ops, domid, uuid)
        if not facts.suspended:
            raise UsageError(f"domain {domid} is not suspended: nothing to resume")
        if await _type_of(env, facts) == "hvm":
            await _device_model_runs(env, ops, facts)
        await resume_guest(env, ops, domid, facts.uuid, cancelled=suspend_cancel)
    return facts.uuid


async def domain_unpause(env: Environment, domid: int, uuid: str = "") -> None:
    """Let a paused domain run, its device model first: libxl starts some stopped.

    Raises:
        QmpError: Its device model does not go on; it stays paused.

    Xen: tools/libs/light/libxl_domain.c, libxl__domain_unpause().
    """
    async with env.hypercalls() as ops:
        facts = await hypercalls.get(ops, hypercalls.check_domid(domid), uuid)
        if await _type_of(env, facts) == "hvm":
            await _device_model_runs(env, ops, facts)
        await ops.checked_op(Op.UNPAUSE, domid, uuid=facts.uuid)


async def _type_of(env: Environment, facts: DomainFacts) -> DomainType:
    path, seconds = env.backend.xenstore_socket, env.deadlines.xenstore
    async with connect(path, timeout=seconds) as store:
        return await domain_type(store, facts)


async def _device_model_runs(
    env: Environment, ops: HelperLink, facts: DomainFacts
) -> None:
    its = device_model.DeviceModel(env, facts.domid, facts.uuid, GuestFacts())
    try:
        await its.go_on(ops)
    finally:
        await its.close()


async def resume_guest(
    env: Environment,
    ops: HelperLink,
    domid: int,
    uuid: str,
    *,
    cancelled: bool = True,
) -> None:
    """Let a suspended guest run again and tell xenstored.

    Args:
        env: Backend and deadlines.
        ops: Makes the hypercall.
        domid: Of the guest, in shutdown(suspend).
        uuid: The guest's own.
        cancelled: Its suspend call returns "cancelled": it goes on as if nothing was.

    Raises:
        DomainReused: Another domain has its domid.
        DomainOpError: The hypervisor refused.
        XenstoreError: It runs, but xenstored could not be told.

    Xen: tools/libs/light/libxl_dom_suspend.c, domain_resume_done().
    """
    how = RESUME_CANCELLED if cancelled else 0
    await ops.checked_op(Op.RESUME, domid, how, uuid=uuid)
    await tell_resumed(env, domid)


async def tell_resumed(env: Environment, domid: int) -> None:
    """Have xenstored know that a guest runs again: it may suspend once more.

    Raises:
        XenstoreError: It can't be told.
    """
    path, seconds = env.backend.xenstore_socket, env.deadlines.xenstore
    async with connect(path, timeout=seconds, wait=True) as store:
        await store.resume(domid)
