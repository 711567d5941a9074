"""What a host has against a domain that is to come, before anything is done for it."""

import shlex
import uuid as uuids
from collections.abc import Iterator, Set
from itertools import product
from pathlib import Path
from typing import Any

from libxlpy.aio import aside
from libxlpy.domain import requests
from libxlpy.domain.config import checked_uuid
from libxlpy.domain.dom0 import UNSAID, spare_kib
from libxlpy.domain.names import incoming
from libxlpy.domain.remedies import both_asked
from libxlpy.errors import MigrationRefused, named
from libxlpy.migration.host_facts import host_facts, is_older
from libxlpy.process.environment import Environment
from libxlpy_protocol.fields import PATH_MAX, brief, printable
from libxlpy_protocol.migration.own import Offer, Refusal

NETWORK = Path("/sys/class/net")
#: Files of the builder that are named by the configuration.
KERNELS = ("kernel", "ramdisk")
#: Seconds for the disks that the domain's files are on.
WITHIN = 30.0
SHADOW = "shadow_memkb"


async def check_name_free(
    env: Environment, name: str, uuid: str | None, domid: int | None
) -> None:
    """Refuse a domain whose name or domid another one has; it may be here itself.

    Args:
        env: Backend, the helpers for hypercalls.
        name: Of the domain.
        uuid: Of it, if known.
        domid: That it is to keep; None for any.

    Raises:
        MigrationRefused: Another has it.
    """
    for info in await requests.list_domains(env):
        if info.domid == domid:
            text = f"domid {domid}, which it is to keep, is taken by {named(info.name)}"
            raise MigrationRefused(Refusal.NAME, f"{text}: leave out -D")
        if info.name == incoming(name):
            text = f"{named(info.name)}, domain {info.domid}, is left of a migration"
            remedy = f"settle that by {both_asked(name, '')}, on either host"
            raise MigrationRefused(Refusal.NAME, f"{text}: {remedy}")
        if info.name == name and info.uuid != uuid:
            text = f"name {named(name)} is taken by domain {info.domid}"
            remedy = "rename that, or the one that is to come"
            raise MigrationRefused(Refusal.NAME, f"{text}: {remedy}")


async def check_can_come(
    env: Environment, offer: Offer, config: dict[str, Any]
) -> None:
    """Refuse what can't run here.

    Args:
        env: Backend.
        offer: What the sender has said.
        config: Of it, parsed.

    Raises:
        MigrationRefused: Something is against it.
    """
    ours = await host_facts(env.backend)
    sent, made = _uuid(offer), checked_uuid(config["c_info"].get("uuid"))
    itself = {sent} if offer.host == ours.host else set()
    await _check_not_here(env, {sent, made} - itself)
    if is_older(ours.xen, offer.xen):
        text = f"it comes from Xen {offer.xen}, and the target has Xen {ours.xen}"
        raise MigrationRefused(Refusal.VERSION, f"{text}, which is older")
    if ours.vendor and offer.vendor and ours.vendor != offer.vendor:
        text = f"it runs on a processor of {offer.vendor}, and the target's"
        remedy = f"is of {ours.vendor}: shut it down and start it there"
        raise MigrationRefused(Refusal.CPU, f"{text} {remedy}")
    await check_memory(env, needed_kib(offer, config))
    if env.backend.kind != "xen":
        return  # what an embedded host's guests are made of is in their stream
    try:
        await aside(lambda: check_files(config), WITHIN)
    except TimeoutError as exc:
        text = "a file or device of it does not answer at the target"
        raise MigrationRefused(Refusal.DISK, text) from exc


def _uuid(offer: Offer) -> str:
    return str(uuids.UUID(bytes=offer.uuid))


async def _check_not_here(env: Environment, taken: Set[str | None]) -> None:
    """See that a domain is not here already, from a file, as a copy, or another one.

    Args:
        env: Backend.
        taken: Uuids that no domain may have; None is none.
    """
    for info in await requests.list_domains(env):
        if info.uuid in taken:
            text = f"domain {info.domid}, {named(info.name)}, has its uuid"
            remedy = "if it is a copy of it, destroy the one that is not wanted"
            raise MigrationRefused(Refusal.UUID, f"{text}: {remedy}")


def needed_kib(offer: Offer, config: dict[str, Any]) -> int:
    """Give the memory that a domain takes here, or less.

    What it has where it comes from, and the hypervisor's tables of it, which libxl has
    made before it is read. Some pages more are taken for the domain itself, for which
    libxl counts 1 or 2 MiB: who would just fit is not refused for them.

    Xen: tools/libs/light/libxl_mem.c, libxl__domain_need_memory_calculate();
    libxl_x86.c, libxl__arch_domain_create().
    """
    shadow = 0 if config["c_info"]["type"] == "pv" else config["b_info"].get(SHADOW, 0)
    # libxl's word for "not said"; it then takes more than nothing.
    return offer.memory_kib + (shadow if shadow < UNSAID else 0)


async def check_memory(env: Environment, needed: int) -> None:
    """Refuse what needs more memory, KiB, than is free and dom0 has to give.

    Raises:
        MigrationRefused: It does.
    """
    free = await requests.free_kib(env)
    if needed <= free:
        return
    spare = await spare_kib(env)
    if needed <= free + spare:
        return  # dom0 gives it before anything comes
    mib = f"{-(-needed // 1024)} MiB of memory, and the target has {free // 1024}"
    more = f", and its dom0 {spare // 1024} MiB to give" if spare else ""
    remedy = "destroy or shrink a domain there, or its dom0 by `xl mem-set 0 SIZE`"
    raise MigrationRefused(Refusal.MEMORY, f"it needs {mib} MiB free{more}: {remedy}")


def check_files(config: dict[str, Any]) -> None:
    """See that what a configuration names is there; blocks.

    Raises:
        MigrationRefused: Something is not.
    """
    for disk in _objects(config.get("disks")):
        path = disk.get("pdev_path")
        scripted = disk.get("script")
        if _is_file(path) and not scripted and not Path(str(path)).exists():
            text = f"its disk {brief(disk.get('vdev', '?'))} is in {_told(path)}"
            raise MigrationRefused(Refusal.DISK, f"{text}, which the target has not")
    for nic in _objects(config.get("nics")):
        bridge = nic.get("bridge")
        if isinstance(bridge, str) and bridge and not _has_interface(bridge):
            text = f"its interface is on the bridge {brief(bridge)}"
            raise MigrationRefused(Refusal.BRIDGE, f"{text}, which the target has not")
    for builder, key in product(_objects([config.get("b_info")]), KERNELS):
        path = builder.get(key)
        if _is_file(path) and not Path(str(path)).exists():
            text = f"its {key} is {_told(path)}, which the target has not"
            raise MigrationRefused(Refusal.KERNEL, text)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _is_file(path: object) -> bool:
    """Tell a path from what only a backend understands, as in ``nbd:...``."""
    return isinstance(path, str) and path.startswith("/") and "\0" not in path


def _told(path: object) -> str:
    """Give a path whole, as a shell takes it."""
    return shlex.quote(printable(f"{path!s:.{PATH_MAX}}"))


def _has_interface(name: str) -> bool:
    return "/" not in name and "\0" not in name and (NETWORK / name).exists()
