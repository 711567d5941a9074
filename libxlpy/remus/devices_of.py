"""Which devices of a guest the world can see, and what holds each of them back.

What nothing holds back is refused, unless it is said to be unsafe: the copy would go on
from an epoch, and find that others know more of the guest than itself.
"""

import socket
from collections.abc import Iterable, Sequence

from libxlpy.aio import aside
from libxlpy.domain.disks import Disk, disks
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.interfaces import DOM0, Interface, interface_count, interfaces
from libxlpy.errors import BackendError, UsageError, named
from libxlpy.process.environment import Environment
from libxlpy.remus.devices import Device
from libxlpy.remus.info import RemusInfo
from libxlpy.remus.network import NetworkBuffer

#: Devices that are named in a refusal; of more, their number is told.
NAMED = 4
#: Seconds for the kernel to name its interfaces.
SECONDS = 10.0
UNHELD = "and what it sends can't be held back here: use -n -F"


async def devices_of(
    env: Environment, domain: DomainInfo, info: RemusInfo
) -> list[Device]:
    """Give what holds back a guest's devices; nothing is done yet.

    Args:
        env: Backend, deadlines.
        domain: Its.
        info: What may be left to itself.

    Raises:
        UsageError: It has a device that nothing holds back.
        NotSupported: What asks the kernel is missing.
        XenstoreError: Nobody can tell.
        BackendError: The kernel does not tell of its interfaces.
    """
    if info.diskbuf:
        _refuse_written(domain, await disks(env, domain.domid))
    if not info.netbuf:
        return []
    found = await interfaces(env, domain.domid)
    _refuse_elsewhere(domain, found, await interface_count(env, domain.domid))
    if not found:
        return []
    network = NetworkBuffer(await _names(found), domain.domid)
    await network.load()
    return [network]


def _refuse_written(domain: DomainInfo, found: Iterable[Disk]) -> None:
    written = [disk.name for disk in found if disk.writable]
    if written:
        more = f" and {len(written) - NAMED} more" if len(written) > NAMED else ""
        them = f"{', '.join(written[:NAMED])}{more}, which it can write"
        why = "and nothing has the copy find there what it has left"
        raise _refused(domain, f"{them}, {why}: make it read-only, or use -d -F")


def _refuse_elsewhere(
    domain: DomainInfo, found: Sequence[Interface], count: int
) -> None:
    for each in found:
        if each.backend != DOM0 or not each.device:
            where = f"by way of domain {each.backend}"
            raise _refused(domain, f"interface {each.number} {where}, {UNHELD}")
    if len(found) != count:
        raise _refused(domain, f"an interface that can't be made out, {UNHELD}")


def _refused(domain: DomainInfo, what: str) -> UsageError:
    return UsageError(f"domain {domain.domid}, {named(domain.name)}, has {what}")


async def _names(found: Iterable[Interface]) -> list[str]:
    """Give what frames come by here; of qemu's, what there is."""
    try:
        here = {name for _, name in await aside(socket.if_nameindex, SECONDS)}
    except TimeoutError as exc:
        raise BackendError("the kernel does not answer for its network") from exc
    names: list[str] = []
    for interface in found:
        netback, qemu = interface.devices
        names += [netback, qemu] if qemu in here else [netback]
    return names
