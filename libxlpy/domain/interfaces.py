"""A domain's network interfaces: what its toolstack says of them, and what its guest.

The toolstack's nodes are those below ``/libxl`` and of the back-end, where no guest can
write. Of what the guest's tools write, addresses alone are taken, few, and none of a
guest to whom the toolstack has assigned some: it must not have us speak for others.

Xen: tools/libs/light/libxl_nic.c, libxl__set_xenstore_nic(); docs/misc/
xenstore-paths.pandoc, attr/vif.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from libxlpy.process.environment import Environment
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.value import Value

#: Interfaces of a domain, and addresses of an interface, that are looked at.
INTERFACES_MAX, ADDRESSES_MAX = 64, 8
#: Bytes of an address as text.
TEXT_MAX = 45
#: Where back-ends of ours are.
DOM0 = 0
BACKEND = re.compile(
    r"/local/domain/(\d{1,5})/backend/vif/(\d{1,5})/(\d{1,5})", re.ASCII
)
NUMBER = re.compile(r"\d{1,5}", re.ASCII)
MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
#: A name that a device of Linux may have, IFNAMSIZ.
DEVICE = re.compile(r"(?!\.{1,2}$)[\x21-\x2e\x30-\x39\x3b-\x7e]{1,15}")

Address = IPv4Address | IPv6Address


class Interface(Value):
    """One interface of a domain."""

    number: int
    #: Six bytes; empty if there is none that a guest could have.
    mac: bytes
    #: Domain of its back-end.
    backend: int
    #: What it is called here: netback's device; "" if that can be no name.
    device: str
    addresses: tuple[Address, ...] = ()

    @property
    def devices(self) -> tuple[str, str]:
        """What its frames may come by here: netback's device, and qemu's."""
        return self.device, f"{self.device}-emu"


async def interfaces(env: Environment, domid: int) -> list[Interface]:
    """Give a domain's interfaces; one that has no back-end is left out.

    Raises:
        XenstoreError: Xenstored can't be asked.
    """
    timeout = env.deadlines.xenstore
    async with connect(env.backend.xenstore_socket, timeout=timeout) as store:
        home = f"/libxl/{domid}/device/vif"
        numbers = _numbers(await store.directory(home))[:INTERFACES_MAX]
        found = [await _interface(store, domid, number) for number in numbers]
        return [interface for interface in found if interface is not None]


async def interface_count(env: Environment, domid: int) -> int:
    """Tell how many a domain has, those counted that can't be made out.

    Raises:
        XenstoreError: Xenstored can't be asked.
    """
    timeout = env.deadlines.xenstore
    async with connect(env.backend.xenstore_socket, timeout=timeout) as store:
        return len(await store.directory(f"/libxl/{domid}/device/vif"))


def _numbers(names: list[str]) -> list[int]:
    return sorted(int(name) for name in names if NUMBER.fullmatch(name))


async def _interface(store: Xenstore, domid: int, number: int) -> Interface | None:
    path = await store.read_text(f"/libxl/{domid}/device/vif/{number}/backend")
    match = BACKEND.fullmatch(path)
    if match is None or (int(match[2]), int(match[3])) != (domid, number):
        return None
    device = await store.read_text(f"{path}/vifname") or f"vif{domid}.{number}"
    assigned = _addresses((await store.read_text(f"{path}/ip")).split())
    return Interface(
        number=number,
        mac=parse_mac(await store.read_text(f"{path}/mac")),
        backend=int(match[1]),
        device=device if DEVICE.fullmatch(device) else "",
        addresses=assigned or await _of_guest(store, domid, number),
    )


async def _of_guest(store: Xenstore, domid: int, number: int) -> tuple[Address, ...]:
    """Give what the guest's tools have written, if they have."""
    texts: list[str] = []
    for kind in ("ipv4", "ipv6"):
        path = f"/local/domain/{domid}/attr/vif/{number}/{kind}"
        for name in _numbers(await store.directory(path))[:ADDRESSES_MAX]:
            texts.append(await store.read_text(f"{path}/{name}"))
    return _addresses(texts)


def _addresses(texts: list[str]) -> tuple[Address, ...]:
    found = (parse_address(text) for text in texts)
    return tuple(dict.fromkeys(each for each in found if each))[:ADDRESSES_MAX]


def parse_mac(text: str) -> bytes:
    """Read the MAC of one station; empty if it is none."""
    mac = bytes.fromhex(text.replace(":", "")) if MAC.fullmatch(text) else b""
    return mac if any(mac) and not mac[0] & 1 else b""


def parse_address(text: str) -> Address | None:
    """Read the address of one station; None if it is none. A prefix is no matter."""
    text = text[: TEXT_MAX + len("/128")].partition("/")[0]
    if "%" in text:
        return None  # a zone means nothing to others
    try:
        address: Address = IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        return None
    unusable = (
        address.is_multicast
        or address.is_unspecified
        or address.is_loopback
        or address.is_reserved
    )
    return None if unusable else address
