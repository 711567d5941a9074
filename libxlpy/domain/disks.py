"""A domain's disks, and what else of its devices has a state outside of it.

The toolstack's nodes are read, those below ``/libxl`` and of the back-end, where no
guest can write.

Xen: tools/libs/light/libxl_disk.c, device_disk_add(); libxl_device.c,
libxl__device_backend_path().
"""

import re

from libxlpy.process.environment import Environment
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.fields import clip, printable
from libxlpy_protocol.value import Value

BACKEND = re.compile(
    r"/local/domain/\d{1,5}/backend/[a-z0-9]{1,16}/(\d{1,5})/(\d{1,10})", re.ASCII
)
#: What a domain may have and holds nothing that outlives it, beside its interfaces.
STATELESS = {"console", "vfb", "vkb", "vif"}
#: libxl's kind of a disk, whatever its back-end.
DISK = "vbd"
#: Characters of a disk's target that are told.
TARGET_MAX = 200


class Disk(Value):
    """A disk, or another device whose state is not in the domain's memory."""

    #: As messages call it, as in ``disk xvda (/dev/vg/web)``.
    name: str
    #: The guest can change what is on it, or nobody knows.
    writable: bool = True


async def disks(env: Environment, domid: int) -> list[Disk]:
    """Give a domain's disks, and what else holds a state.

    Raises:
        XenstoreError: Xenstored can't be asked.
    """
    timeout = env.deadlines.xenstore
    found: list[Disk] = []
    async with connect(env.backend.xenstore_socket, timeout=timeout) as store:
        home = f"/libxl/{domid}/device"
        for kind in sorted(await store.directory(home)):
            if kind in STATELESS:
                continue
            for number in await store.directory(f"{home}/{kind}"):
                if kind == DISK:
                    found.append(await _disk(store, domid, number))
                else:
                    found.append(Disk(f"{printable(kind)} {printable(number)}"))
    return found


async def _disk(store: Xenstore, domid: int, number: str) -> Disk:
    path = await store.read_text(f"/libxl/{domid}/device/{DISK}/{number}/backend")
    match = BACKEND.fullmatch(path)
    if match is None or match.groups() != (str(domid), number):
        return Disk(f"disk {printable(number)}")
    called = await store.read_text(f"{path}/dev") or number
    target = clip(await store.read_text(f"{path}/params"), TARGET_MAX)
    name = f"disk {called} ({target})" if target else f"disk {called}"
    is_readable = await store.read_text(f"{path}/mode") == "r"
    return Disk(printable(name), writable=not is_readable)
