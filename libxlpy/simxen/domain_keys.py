"""The xenstore nodes of a domain, as libxl makes them, and who may touch them.

A domain's name is kept here alone: whoever renames it, writes it.

Source: Xen, tools/libs/light/libxl_create.c, libxl__domain_make().
"""

from libxlpy.simxen.domain import Domain
from libxlpy.simxen.xenstored.store import Store


def write_keys(store: Store, domain: Domain) -> None:
    """Make a domain's nodes and tell ``@introduceDomain``."""
    domid = domain.domid
    closed, readable, own = ["n0"], ["n0", f"r{domid}"], [f"n{domid}"]
    home, vm = _home(domid), f"/vm/{domain.uuid}"
    memory_kib = str(domain.spec.memory_mib * 1024)
    nodes = [
        (home, "", readable),
        (f"{home}/vm", vm, readable),
        (f"{home}/name", domain.spec.name, readable),
        (f"{home}/domid", str(domid), readable),
        (f"{home}/cpu", "", readable),
        *(
            (f"{home}/cpu/{n}/availability", "online", readable)
            for n in range(domain.spec.vcpus)
        ),
        (f"{home}/memory", "", readable),
        (f"{home}/memory/static-max", memory_kib, readable),
        (f"{home}/memory/target", memory_kib, readable),
        (f"{home}/device", "", readable),
        (f"{home}/device/suspend", "", readable),
        (f"{home}/device/suspend/event-channel", "", own),
        (f"{home}/control", "", readable),
        (f"{home}/control/shutdown", "", own),
        (f"{home}/control/feature-suspend", "", own),
        (f"{home}/control/feature-poweroff", "", own),
        (f"{home}/control/feature-reboot", "", own),
        (f"{home}/data", "", own),
        (vm, "", readable),
        (f"{vm}/name", domain.spec.name, readable),
        (f"{vm}/uuid", str(domain.uuid), readable),
        (f"/libxl/{domid}", "", closed),
        (f"/libxl/{domid}/type", domain.spec.type, closed),
    ]
    for path, value, permissions in nodes:
        store.put(path, value, permissions)
    store.introduce(domid)


def name_of(store: Store, domain: Domain) -> str:
    """Give what a domain is called now; "" if somebody has removed it."""
    return store.text(f"{_home(domain.domid)}/name")


def rename(store: Store, domain: Domain, name: str) -> None:
    """Have a domain called otherwise."""
    for path in (f"{_home(domain.domid)}/name", f"/vm/{domain.uuid}/name"):
        store.put(path, name)


def write_device_model_keys(store: Store, domid: int) -> None:
    """Make the nodes by which a started device model shows.

    The ``physmap`` ones are what a toolstack saves along with its state.
    Source: Xen, tools/libs/light/libxl_dm.c; docs/misc/xenstore-paths.pandoc.
    """
    path = device_model_path(domid)
    store.put(path, "", ["n0"])
    for n, (address, size, name) in enumerate(_PHYSMAP):
        entry = f"{path}/physmap/{address:x}"
        store.put(f"{entry}/start_addr", f"{0xF0000000 + n * 0x1000000:x}")
        store.put(f"{entry}/size", f"{size:x}")
        store.put(f"{entry}/name", name)
    store.put(f"{path}/state", "running")


def remove_keys(store: Store, domain: Domain) -> None:
    """Remove a domain's nodes and tell ``@releaseDomain``.

    Those of its uuid go also if another domain has it, as in libxl.
    Source: Xen, tools/libs/light/libxl_domain.c, devices_destroy_cb().
    """
    for path in (
        device_model_path(domain.domid),
        f"/libxl/{domain.domid}",
        f"/vm/{domain.uuid}",
        _home(domain.domid),
    ):
        store.remove(path)
    if store.is_introduced(domain.domid):
        store.release(domain.domid)


def device_model_path(domid: int) -> str:
    """Give the node of a domain's device model in dom0."""
    return f"/local/domain/0/device-model/{domid}"


#: What qemu moved in the guest's address space: where to, bytes, name.
_PHYSMAP = ((0x10000000, 0x800000, "vga.vram"), (0x10800000, 0x20000, "rom"))


def _home(domid: int) -> str:
    return f"/local/domain/{domid}"
