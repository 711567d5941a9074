"""What a context tells about domains and does to them without a job."""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from libxlpy.domain import hypercalls
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.errors import DomainNotFound, DomainReused, NotSupported
from libxlpy.process.environment import Environment
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.enums import Op

#: Seconds between two looks at a domain that is dying.
LOOK_AGAIN = 0.05


async def list_domains(env: Environment) -> list[DomainInfo]:
    """Give all domains, lowest domid first.

    Raises:
        BackendError: The hypervisor can't be asked.
        XenstoreError: Xenstored can't be asked.
    """
    async with env.hypercalls() as ops, _store(env) as store:
        found = await hypercalls.list_facts(ops)
        return [await hypercalls.describe(store, facts) for facts in found]


async def look(env: Environment, domid: int) -> DomainInfo:
    """Give one domain.

    Raises:
        DomainNotFound: There is no such domain.
        BackendError: The hypervisor can't be asked.
        XenstoreError: Xenstored can't be asked.
    """
    async with env.hypercalls() as ops, _store(env) as store:
        return await hypercalls.describe(store, await hypercalls.get(ops, domid))


async def check_can_log(env: Environment, info: DomainInfo) -> None:
    """Refuse a live save of a guest whose writes this Xen can't log.

    Raises:
        NotSupported: It can't; nothing was done to the guest.
        BackendError: The hypervisor can't be asked.
    """
    if info.type != "pv":
        return  # hardware logs the writes of HVM and PVH guests
    async with env.hypercalls() as ops:
        if await hypercalls.has_shadow(ops):
            return
    raise NotSupported(
        "this Xen has no log-dirty mode for PV guests (no shadow paging): "
        f"save domain {info.domid} without --live (SuspendFlags.LIVE)"
    )


async def resolve(env: Environment, domain: int | str) -> int:
    """Give the domid of a domain named by number or name, as ``xl`` takes it.

    Raises:
        DomainNotFound: There is none.
    """
    text = str(domain)
    digits = text.isascii() and text.isdecimal()
    wanted = text.lstrip("0") or "0" if digits else text
    for info in await list_domains(env):
        if wanted == (str(info.domid) if digits else info.name):
            return info.domid
    raise DomainNotFound(domain)


async def retrieve_config(env: Environment, domid: int) -> bytes:
    """Give a domain's configuration.

    Raises:
        DomainNotFound: There is no such domain.
        BackendError: It has none, or it can't be read.
    """
    async with env.hypercalls() as ops:
        facts = await hypercalls.get(ops, hypercalls.check_domid(domid))
    return await toolstack_of(env).config(domid, facts.uuid)


async def do(env: Environment, op: Op, domid: int, uuid: str = "") -> None:
    """Make one hypercall.

    Args:
        env: Has the helper that makes it.
        op: What to do.
        domid: Of the domain.
        uuid: Of the domain that is meant; "" for whichever has the domid.

    Raises:
        DomainNotFound: There is no such domain, or another has its domid.
        DomainOpError: The hypervisor refused.
        BackendError: It can't be asked.
    """
    hypercalls.check_domid(domid)
    async with env.hypercalls() as ops:
        facts = await hypercalls.get(ops, domid, uuid)
        await ops.checked_op(op, domid, uuid=facts.uuid)


async def destroy(env: Environment, domid: int, uuid: str = "") -> None:
    """End a domain; a real one is listed as dying until its memory is given back.

    Args:
        env: Backend, deadlines, the helper for hypercalls.
        domid: Of the domain.
        uuid: Of the domain that is meant; "" for whichever has the domid.

    Raises:
        DomainNotFound: There is no such domain, or another has its domid.
        DomainOpError: The hypervisor refused.
        BackendError: It can't be asked, or something of the domain is left.
    """
    hypercalls.check_domid(domid)
    async with env.hypercalls() as ops:
        uuid = (await hypercalls.get(ops, domid, uuid)).uuid
        await toolstack_of(env).destroy(domid, uuid)
        # It is dying all the same; and once it is gone its domid is free.
        with contextlib.suppress(TimeoutError, DomainReused):
            async with asyncio.timeout(env.deadlines.domain_op):
                while await hypercalls.find(ops, domid, uuid):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_AGAIN)


def _store(env: Environment) -> AbstractAsyncContextManager[Xenstore]:
    return connect(env.backend.xenstore_socket, timeout=env.deadlines.xenstore)
