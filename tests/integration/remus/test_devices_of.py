"""What of a guest the world can see is held back, or it is not protected."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libxlpy import NotSupported, UsageError
from libxlpy.backend import detect
from libxlpy.deadlines import DEFAULT_DEADLINES
from libxlpy.domain import plug
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.requests import list_domains
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy.remus import devices_of as devices_module
from libxlpy.remus.devices_of import devices_of
from libxlpy.remus.info import RemusInfo
from libxlpy.remus.network import NetworkBuffer
from libxlpy.xenstore import Xenstore, connect
from tests.support.disks import disk_nodes
from tests.support.guest import Guest
from tests.support.interfaces import libxl_nodes

SAFE = RemusInfo(200)
NO_DISKS = SAFE.replace(allow_unsafe=True, diskbuf=False)
NO_NETWORK = SAFE.replace(allow_unsafe=True, netbuf=False)


@pytest.fixture
async def env(host: Path) -> AsyncIterator[Environment]:
    helpers = HypercallHelpers()
    yield Environment(detect("simxen", host), DEFAULT_DEADLINES, helpers)
    await helpers.close()


@pytest.fixture
async def store(env: Environment) -> AsyncIterator[Xenstore]:
    async with connect(env.backend.xenstore_socket, timeout=5.0) as store:
        yield store


@pytest.fixture
async def domain(env: Environment, pv: Guest) -> DomainInfo:
    [info] = [each for each in await list_domains(env) if each.domid == pv.domid]
    return info


async def write(store: Xenstore, nodes: dict[str, str]) -> None:
    for path, value in nodes.items():
        await store.write(path, value.encode())


async def test_guest_that_nobody_sees_needs_nothing(
    env: Environment, domain: DomainInfo
) -> None:
    assert await devices_of(env, domain, SAFE) == []


async def test_disk_that_is_written_is_refused(
    env: Environment, store: Xenstore, domain: DomainInfo
) -> None:
    await write(store, disk_nodes(domain.domid, "/cd", mode="r"))
    assert await devices_of(env, domain, SAFE) == []
    for number in range(1, 7):
        nodes = disk_nodes(domain.domid, "/d", number=number, dev=f"xvd{number}")
        await write(store, nodes)
    them = r"disk xvd1 \(/d\), .* and 2 more, which it can write"
    with pytest.raises(UsageError, match=rf"has {them}, .*: .* use -d -F"):
        await devices_of(env, domain, SAFE)
    assert await devices_of(env, domain, NO_DISKS) == []


async def test_interfaces_are_held_back_together(
    env: Environment,
    store: Xenstore,
    domain: DomainInfo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        devices_module.socket,
        "if_nameindex",
        lambda: enumerate(["lo", f"vif{domain.domid}.0", f"vif{domain.domid}.0-emu"]),
    )
    await write(store, libxl_nodes(domain.domid))
    await write(store, libxl_nodes(domain.domid, 2, vifname="web0"))
    [network] = await devices_of(env, domain, SAFE)
    assert isinstance(network, NetworkBuffer)
    vif = f"vif{domain.domid}.0"
    assert network.vifs == (vif, f"{vif}-emu", "web0")
    assert await devices_of(env, domain, NO_NETWORK) == []


async def test_what_asks_the_kernel_is_missed_at_once(
    env: Environment,
    store: Xenstore,
    domain: DomainInfo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(plug, "import_module", missing)
    await write(store, libxl_nodes(domain.domid))
    with pytest.raises(NotSupported, match="apt-get install python3-pyroute2"):
        await devices_of(env, domain, SAFE)


@pytest.mark.parametrize(
    ("node", "value", "text"),
    [
        ("vifname", "no name", "interface 0 by way of domain 0"),
        ("backend", "/local/domain/5/backend/vif/{domid}/0", "by way of domain 5"),
        ("backend", "", "an interface that can't be made out"),
    ],
)
async def test_interface_that_is_not_held_here_is_refused(
    env: Environment,
    store: Xenstore,
    domain: DomainInfo,
    node: str,
    value: str,
    text: str,
) -> None:
    nodes = libxl_nodes(domain.domid)
    backend = nodes[f"/libxl/{domain.domid}/device/vif/0/backend"]
    home = f"/libxl/{domain.domid}/device/vif/0" if node == "backend" else backend
    await write(store, {**nodes, f"{home}/{node}": value.format(domid=domain.domid)})
    with pytest.raises(UsageError, match=rf"has .*{text}.*: use -n -F"):
        await devices_of(env, domain, SAFE)


async def test_only_netback_is_missed_if_it_is_not_there(
    env: Environment, store: Xenstore, domain: DomainInfo
) -> None:
    """By who sets it up, see test_network."""
    await write(store, libxl_nodes(domain.domid))
    [network] = await devices_of(env, domain, SAFE)
    assert isinstance(network, NetworkBuffer)
    assert network.vifs == (f"vif{domain.domid}.0",)
