"""What a context tells about domains and does to them without a job.

Here and in ``resume`` all are alike in this, and say only what is more.

Args:
    env: Backend, deadlines, the helper for hypercalls.
    domid: Of the domain.
    uuid: Of the domain that is meant; "" for whichever has the domid.

Raises:
    DomainNotFound: There is no such domain, or another has its domid.
    DomainOpError: The hypervisor refused.
    BackendError: The hypervisor can't be asked.
    XenstoreError: Xenstored can't be used.
"""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from libxlpy.domain import hypercalls
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.errors import (
    DomainNotFound,
    DomainReused,
    NotSupported,
    UsageError,
    XenstoreError,
)
from libxlpy.process.environment import Environment
from libxlpy.process.link import HelperLink
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.enums import Op

#: Seconds between two looks at a domain that is dying.
LOOK_AGAIN = 0.05


async def list_domains(env: Environment) -> list[DomainInfo]:
    """Give all domains, lowest domid first."""
    async with env.hypercalls() as ops, _store(env) as store:
        found = await hypercalls.list_facts(ops)
        return [await hypercalls.describe(store, facts) for facts in found]


async def look(env: Environment, domid: int) -> DomainInfo:
    """Give one domain."""
    async with env.hypercalls() as ops, _store(env) as store:
        return await hypercalls.describe(store, await hypercalls.get(ops, domid))


async def check_can_log(env: Environment, info: DomainInfo) -> None:
    """Refuse a live copy of a guest whose writes this Xen can't log.

    Raises:
        NotSupported: It can't; nothing was done to the guest.
    """
    if info.type != "pv":
        return  # hardware logs the writes of HVM and PVH guests
    async with env.hypercalls() as ops:
        if await hypercalls.has_shadow(ops):
            return
    raise NotSupported(
        "this Xen has no log-dirty mode for PV guests (no shadow paging): copy domain "
        f"{info.domid} suspended, without SuspendFlags.LIVE (xlpy save without --live, "
        "xlpy migrate --no-live)"
    )


async def free_kib(env: Environment) -> int:
    """Give the memory that no domain has, and that is claimed for none."""
    async with env.hypercalls() as ops:
        return (await hypercalls.host_memory(ops)).free_kib


async def resolve(env: Environment, domain: int | str) -> int:
    """Give the domid of a domain named by number or name, as ``xl`` takes it."""
    text = str(domain)
    digits = text.isascii() and text.isdecimal()
    wanted = text.lstrip("0") or "0" if digits else text
    for info in await list_domains(env):
        if wanted == (str(info.domid) if digits else info.name):
            return info.domid
    raise DomainNotFound(domain)


async def retrieve_config(env: Environment, domid: int) -> bytes:
    """Give a domain's configuration: as it is now, not as it was made.

    Raises:
        BackendError: It has none, or it can't be read.
    """
    async with env.hypercalls() as ops:
        facts = await hypercalls.get(ops, hypercalls.check_domid(domid))
    return await toolstack_of(env).config(domid, facts.uuid)


async def do(env: Environment, op: Op, domid: int, uuid: str = "") -> None:
    """Make one hypercall."""
    hypercalls.check_domid(domid)
    async with env.hypercalls() as ops:
        facts = await hypercalls.get(ops, domid, uuid)
        await ops.checked_op(op, domid, uuid=facts.uuid)


async def destroy(env: Environment, domid: int, uuid: str = "") -> None:
    """End a domain; a real one is listed as dying until its memory is given back.

    Raises:
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


async def rename(
    env: Environment, domid: int, name: str, *, uuid: str = "", old: str = ""
) -> None:
    """Give a domain another name: all is looked at and written in one transaction.

    No other domain has ``name``. ``old`` is what it must be called until then, "" for
    whatever it is. A domain that is called ``name`` already is right in any case: the
    answer to a transaction may be lost, and it is done again.

    Raises:
        UsageError: The name can't be one, another domain has it, or the domain is not
            called ``old``.
        XenstoreError: Xenstored can't be used; who knows what the domain is called.

    Xen: tools/libs/light/libxl_domain.c, libxl__domain_rename().
    """
    toolstack_of(env).check_name(name)
    seconds = 2 * env.deadlines.xenstore + env.deadlines.domain_op
    async with env.hypercalls() as ops, _store(env) as store:
        uuid = (await hypercalls.get(ops, hypercalls.check_domid(domid), uuid)).uuid

        async def work(number: int) -> None:
            await _check_called(store, domid, uuid, (old, name), number)
            await _check_free(store, ops, domid, name, number)
            for path in (f"/local/domain/{domid}/name", f"/vm/{uuid}/name"):
                await store.write(path, name.encode(), transaction=number)

        try:
            async with asyncio.timeout(seconds):
                await store.transact(work)
        except TimeoutError as exc:
            text = f"domain {domid} was not renamed to '{name}' in {seconds:g} s"
            raise XenstoreError(text) from exc


async def _check_called(
    store: Xenstore, domid: int, uuid: str, names: tuple[str, str], number: int
) -> None:
    """See in a transaction that xenstored's nodes are our domain's, and so named."""
    home = f"/local/domain/{domid}"
    if await store.read(home, transaction=number) is None:
        raise DomainNotFound(domid)
    vm = await store.read_text(f"{home}/vm", transaction=number)
    if vm not in {"", f"/vm/{uuid}"}:
        raise DomainReused(domid)
    name = await store.read_text(f"{home}/name", transaction=number)
    if names[0] and name not in names:
        text = f"domain {domid} is called '{name}', not '{names[0]}': left alone"
        raise UsageError(text)


async def _check_free(
    store: Xenstore, ops: HelperLink, domid: int, name: str, number: int
) -> None:
    """See in a transaction that no other domain has a name.

    All that is read here disturbs the transaction if it changes: other domains' names,
    and the node above them when one comes.
    """
    await store.read("/local/domain", transaction=number)
    for other in await hypercalls.list_facts(ops):
        path = f"/local/domain/{other.domid}/name"
        taken = await store.read(path, transaction=number) == name.encode()
        if taken and other.domid != domid:
            raise UsageError(
                f"name '{name}' is taken by domain {other.domid}: rename or destroy "
                "that one first, or choose another"
            )


def _store(env: Environment) -> AbstractAsyncContextManager[Xenstore]:
    return connect(env.backend.xenstore_socket, timeout=env.deadlines.xenstore)
