"""What a context tells about domains and does to them without a job."""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from libxlpy.domain import hypercalls as domain_ops
from libxlpy.domain import toolstack_xen as xen_toolstack
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.toolstack_simxen import stored_config
from libxlpy.errors import DomainNotFound, DomainReused, NotSupported
from libxlpy.ops import ops_helper
from libxlpy.process.environment import Surroundings
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.enums import Op

#: Seconds between two looks at a domain that is dying.
LOOK_AGAIN = 0.05


async def list_domains(around: Surroundings) -> list[DomainInfo]:
    """Give all domains, lowest domid first.

    Raises:
        BackendError: The hypervisor can't be asked.
        XenstoreError: Xenstored can't be asked.
    """
    async with ops_helper(around) as ops, _store(around) as store:
        found = await domain_ops.list_facts(ops)
        return [await domain_ops.describe(store, facts) for facts in found]


async def look(around: Surroundings, domid: int) -> DomainInfo:
    """Give one domain.

    Raises:
        DomainNotFound: There is no such domain.
        BackendError: The hypervisor can't be asked.
        XenstoreError: Xenstored can't be asked.
    """
    async with ops_helper(around) as ops, _store(around) as store:
        return await domain_ops.describe(store, await domain_ops.get(ops, domid))


async def check_can_log(around: Surroundings, info: DomainInfo) -> None:
    """Refuse a live save of a guest whose writes this Xen can't log.

    Raises:
        NotSupported: It can't; nothing was done to the guest.
        BackendError: The hypervisor can't be asked.
    """
    if info.type != "pv":
        return  # hardware logs the writes of HVM and PVH guests
    async with ops_helper(around) as ops:
        if await domain_ops.has_shadow(ops):
            return
    raise NotSupported(
        "this Xen has no log-dirty mode for PV guests (no shadow paging): "
        f"save domain {info.domid} without --live (SuspendFlags.LIVE)"
    )


async def resolve(around: Surroundings, domain: int | str) -> int:
    """Give the domid of a domain named by number or name, as ``xl`` takes it.

    Raises:
        DomainNotFound: There is none.
    """
    number = int(domain) if isinstance(domain, str) and domain.isdecimal() else -1
    wanted = domain if isinstance(domain, int) else number
    for info in await list_domains(around):
        if info.domid == wanted or (wanted < 0 and info.name == domain):
            return info.domid
    raise DomainNotFound(domain)


async def retrieve_config(around: Surroundings, domid: int) -> bytes:
    """Give a domain's configuration.

    Raises:
        DomainNotFound: There is no such domain.
        BackendError: It has none, or it can't be read.
    """
    async with ops_helper(around) as ops:
        facts = await domain_ops.get(ops, domain_ops.check_domid(domid))
    return await stored_config(around.backend, domid, facts.uuid)


async def do(around: Surroundings, op: Op, domid: int, uuid: str = "") -> None:
    """Make one hypercall.

    Args:
        around: Has the helper that makes it.
        op: What to do.
        domid: Of the domain.
        uuid: Of the domain that is meant; "" for whichever has the domid.

    Raises:
        DomainNotFound: There is no such domain, or another has its domid.
        DomainOpError: The hypervisor refused.
        BackendError: It can't be asked.
    """
    domain_ops.check_domid(domid)
    async with ops_helper(around) as ops:
        facts = await domain_ops.get(ops, domid, uuid)
        await ops.checked_op(op, domid, uuid=facts.uuid)


async def destroy(around: Surroundings, domid: int, uuid: str = "") -> None:
    """End a domain; a real one is listed as dying until its memory is given back.

    Args:
        around: Backend, deadlines, the helper for hypercalls.
        domid: Of the domain.
        uuid: Of the domain that is meant; "" for whichever has the domid.

    Raises:
        DomainNotFound: There is no such domain, or another has its domid.
        DomainOpError: The hypervisor refused.
        BackendError: It can't be asked, or something of the domain is left.
    """
    domain_ops.check_domid(domid)
    async with ops_helper(around) as ops:
        uuid = (await domain_ops.get(ops, domid, uuid)).uuid
        if around.backend.kind == "xen":
            await xen_toolstack.destroy(around, domid, uuid)
        else:
            await ops.checked_op(Op.DESTROY, domid, uuid=uuid)
        around.suspended.forget(domid)
        # It is dying all the same; and once it is gone its domid is free.
        with contextlib.suppress(TimeoutError, DomainReused):
            async with asyncio.timeout(around.deadlines.domain_op):
                while await domain_ops.find(ops, domid, uuid):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_AGAIN)


def _store(around: Surroundings) -> AbstractAsyncContextManager[Xenstore]:
    return connect(around.backend.xenstore_socket, timeout=around.deadlines.xenstore)
