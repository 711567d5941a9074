"""Disks are read where a guest can't write; what nobody can make out may be written."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libxlpy.backend import detect
from libxlpy.deadlines import DEFAULT_DEADLINES
from libxlpy.domain.disks import Disk, disks
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy.xenstore import Xenstore, connect
from tests.support.disks import disk_nodes
from tests.support.guest import Guest


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


async def test_disks_are_as_libxl_has_them(
    env: Environment, store: Xenstore, pv: Guest
) -> None:
    assert await disks(env, pv.domid) == []
    await write(store, disk_nodes(pv.domid, "/dev/vg/web"))
    cd = disk_nodes(pv.domid, "", number=51728, dev="xvdb", mode="r")
    await write(store, cd)
    assert await disks(env, pv.domid) == [
        Disk("disk xvda (/dev/vg/web)", writable=True),
        Disk("disk xvdb", writable=False),
    ]


@pytest.mark.parametrize(
    "backend",
    ["", "/local/domain/7/device/vbd/51712", "/local/domain/0/backend/vbd/9/1"],
)
async def test_disk_that_can_not_be_made_out_may_be_written(
    env: Environment, store: Xenstore, pv: Guest, backend: str
) -> None:
    nodes = disk_nodes(pv.domid, "/dev/vg/web", mode="r")
    (link,) = [path for path in nodes if path.endswith("/backend")]
    await write(store, {**nodes, link: backend})
    assert await disks(env, pv.domid) == [Disk("disk 51712")]


async def test_what_else_holds_a_state(
    env: Environment, store: Xenstore, pv: Guest
) -> None:
    home = f"/libxl/{pv.domid}/device"
    for kind in ("console", "vfb", "vkb", "vif", "9pfs"):
        await write(store, {f"{home}/{kind}/0/backend": "x"})
    assert await disks(env, pv.domid) == [Disk("9pfs 0")]


async def test_target_is_told_in_part(
    env: Environment, store: Xenstore, pv: Guest
) -> None:
    await write(store, disk_nodes(pv.domid, "/\x1b" + "x" * 1000))
    (disk,) = await disks(env, pv.domid)
    assert disk.name.startswith("disk xvda (/\\x1bxxx")
    assert len(disk.name) < 250
