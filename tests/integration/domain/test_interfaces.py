"""Interfaces are read where a guest can't write; of what it writes, addresses only."""

from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from libxlpy.backend import detect
from libxlpy.deadlines import DEFAULT_DEADLINES
from libxlpy.domain.interfaces import (
    ADDRESSES_MAX,
    Interface,
    interfaces,
    parse_address,
    parse_mac,
)
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy.xenstore import Xenstore, connect
from tests.support.guest import Guest
from tests.support.interfaces import MAC, libxl_nodes


@pytest.fixture
def env(host: Path) -> Environment:
    return Environment(detect("simxen", host), DEFAULT_DEADLINES, HypercallHelpers())


@pytest.fixture
async def store(env: Environment) -> AsyncIterator[Xenstore]:
    async with connect(env.backend.xenstore_socket, timeout=5.0) as store:
        yield store


async def write(store: Xenstore, nodes: dict[str, str]) -> None:
    for path, value in nodes.items():
        await store.write(path, value.encode())


async def test_domain_without_interfaces_has_none(env: Environment, pv: Guest):
    assert await interfaces(env, pv.domid) == []


async def test_interface_is_as_libxl_has_it(
    env: Environment, store: Xenstore, pv: Guest
):
    await write(store, libxl_nodes(pv.domid))
    await write(store, libxl_nodes(pv.domid, 2, vifname="web0"))
    mac = bytes.fromhex(MAC.replace(":", ""))
    assert await interfaces(env, pv.domid) == [
        Interface(0, mac, 0, f"vif{pv.domid}.0"),
        Interface(2, mac, 0, "web0"),
    ]


async def test_front_end_s_nodes_count_for_nothing(
    env: Environment, store: Xenstore, pv: Guest
):
    home = f"/local/domain/{pv.domid}/device/vif/0"
    mine = {f"{home}/mac": MAC, f"{home}/backend": "/local/domain/0/backend/vif/1/0"}
    await write(store, mine)
    assert await interfaces(env, pv.domid) == []


async def test_back_end_of_another_domain_is_not_looked_at(
    env: Environment, store: Xenstore, pv: Guest
):
    await write(store, libxl_nodes(pv.domid))
    wrong = f"/local/domain/0/backend/vif/{pv.domid + 1}/0"
    await write(store, {f"/libxl/{pv.domid}/device/vif/0/backend": wrong})
    assert await interfaces(env, pv.domid) == []


async def test_addresses_of_guest_tools_are_few_and_real(
    env: Environment, store: Xenstore, pv: Guest
):
    await write(store, libxl_nodes(pv.domid))
    attr = f"/local/domain/{pv.domid}/attr/vif/0"
    good = {f"{attr}/ipv4/{n}": f"192.0.2.{n + 1}" for n in range(20)}
    await write(store, good)
    (found,) = await interfaces(env, pv.domid)
    assert [str(each) for each in found.addresses] == [
        f"192.0.2.{n + 1}" for n in range(ADDRESSES_MAX)
    ]
    await write(store, dict.fromkeys(good, "224.0.0.1"))
    await write(
        store,
        {
            f"{attr}/ipv6/0": "2001:db8::7",
            f"{attr}/ipv6/1": "x" * 2000,
            f"{attr}/ipv6/name": "2001:db8::8",
            f"{attr}/ipv6/{'9' * 900}": "2001:db8::9",
        },
    )
    (found,) = await interfaces(env, pv.domid)
    assert found.addresses == (ip_address("2001:db8::7"),)


async def test_guest_speaks_for_no_others_if_addresses_are_assigned(
    env: Environment, store: Xenstore, pv: Guest
):
    await write(store, libxl_nodes(pv.domid, ip="192.0.2.7 2001:db8::7/64"))
    attr = f"/local/domain/{pv.domid}/attr/vif/0"
    await write(store, {f"{attr}/ipv4/0": "192.0.2.1"})
    (found,) = await interfaces(env, pv.domid)
    assert found.addresses == (ip_address("192.0.2.7"), ip_address("2001:db8::7"))


@pytest.mark.parametrize("name", ["..", "a/b", "x" * 16, "a b", "a:b", "a\n"])
async def test_name_that_no_device_can_have_is_not_used(
    env: Environment, store: Xenstore, pv: Guest, name: str
):
    await write(store, libxl_nodes(pv.domid, vifname=name))
    (found,) = await interfaces(env, pv.domid)
    assert found.device == ""


@pytest.mark.parametrize(
    "text", ["", "00:16:3e", "01:16:3e:00:00:01", "00:00:00:00:00:00", f"{MAC}:00"]
)
def test_mac_that_no_station_has(text: str):
    assert parse_mac(text) == b""


@pytest.mark.parametrize(
    "text",
    [
        *("", "host", "0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1"),
        *("::", "::1", "ff02::1", "fe80::1%eth0", "1.2.3", "01.2.3.4", "1" * 500),
    ],
)
def test_address_that_no_station_has(text: str):
    assert parse_address(text) is None
