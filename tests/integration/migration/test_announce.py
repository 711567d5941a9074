"""After a domain has come, frames to it arrive here; nothing waits for that."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from libxlpy.backend import detect
from libxlpy.deadlines import DEFAULT_DEADLINES, Deadlines
from libxlpy.migration.announce import NOT_CONNECTED, PAUSES, Announcement
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy.xenstore import connect
from tests.support.guest import Guest, aside
from tests.support.interfaces import MAC, libxl_nodes
from tests.support.shell import PATIENCE, ROOT, environment

SCRIPT = "mount -t sysfs none /sys"
RARP = "8035"


async def write(host: Path, nodes: dict[str, str]) -> None:
    async with connect(host / "xenstored.sock", timeout=5.0) as store:
        for path, value in nodes.items():
            await store.write(path, value.encode())


def switched(host: Path, domid: int, *more: str) -> dict[str, Any]:
    """Run ``switched.py`` in a network namespace of its own."""
    program = str(ROOT / "tests/support/switched.py")
    command = ["unshare", "--net", "--mount", "sh", "-ec", f'{SCRIPT}; exec "$@"', "sh"]
    arguments = [sys.executable, program, str(host / "xenstored.sock"), str(domid)]
    done = subprocess.run(
        [*command, *arguments, *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def test_frames_arrive_here_after_it_and_did_not_before(host: Path, pv: Guest):
    await write(host, libxl_nodes(pv.domid))
    attr = f"/local/domain/{pv.domid}/attr/vif/0"
    addresses = {f"{attr}/ipv4/0": "192.0.2.7", f"{attr}/ipv6/0": "2001:db8::7"}
    await write(host, addresses)
    told = await aside(switched, host, pv.domid)
    assert told["heard"] == [True]
    assert told["before"] == ["old"]
    assert told["remarks"] == []
    assert told["after"] == ["guest"]
    # what neighbours have got: of each kind one a round
    mine = [frame for frame in told["frames"] if frame[12:24] == MAC.replace(":", "")]
    kinds = [frame[24:28] for frame in mine]
    assert kinds == [RARP, "0806", "86dd"] * (len(PAUSES) + 1)


async def test_driver_that_connects_late_is_waited_for(host: Path, pv: Guest):
    await write(host, libxl_nodes(pv.domid))
    told = await aside(switched, host, pv.domid, str(2 * sum(PAUSES)))
    assert told["before"] == ["old"]
    assert told["remarks"] == []
    assert told["after"] == ["guest"]


async def test_driver_that_does_not_connect_is_told(host: Path, pv: Guest):
    await write(host, libxl_nodes(pv.domid))
    told = await aside(switched, host, pv.domid, str(DEFAULT_DEADLINES.announce))
    assert told["remarks"] == [f"interface 0 {NOT_CONNECTED}"]


async def test_driver_of_a_paused_guest_is_not_waited_for(host: Path, pv: Guest):
    await write(host, libxl_nodes(pv.domid))
    told = await aside(switched, host, pv.domid, "-1")
    assert told["remarks"] == []
    rounds = [frame for frame in told["frames"] if frame[24:28] == RARP]
    assert len(rounds) == len(PAUSES) + 1


def env_of(host: Path, deadlines: Deadlines) -> Environment:
    return Environment(detect("simxen", host), deadlines, HypercallHelpers())


async def announced(env: Environment, domid: int) -> list[str]:
    announcement = Announcement()
    announcement.begin(env, domid)
    return await announcement.end()


async def test_domain_without_interfaces_is_not_announced(host: Path, pv: Guest):
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await announced(env_of(host, Deadlines()), pv.domid) == []
    assert loop.time() - began < sum(PAUSES)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "there is no device vif"),
        ({"vifname": "lo"}, "lo is on no bridge"),
        ({"vifname": "a/b"}, "no device name"),
        ({"mac": "ff:ff:ff:ff:ff:ff"}, "no MAC"),
    ],
)
async def test_interface_that_can_t_be_announced_is_told(
    host: Path, pv: Guest, more: dict[str, str], words: str
):
    await write(host, libxl_nodes(pv.domid, **more))
    (fact,) = await announced(env_of(host, Deadlines()), pv.domid)
    assert fact.startswith("interface 0 was not announced: ")
    assert words in fact


async def test_driver_domain_s_bridge_is_not_ours(host: Path, pv: Guest):
    await write(host, libxl_nodes(pv.domid))
    back = f"/local/domain/3/backend/vif/{pv.domid}/0"
    await write(host, {f"/libxl/{pv.domid}/device/vif/0/backend": back})
    (fact,) = await announced(env_of(host, Deadlines()), pv.domid)
    assert "driver domain 3" in fact


async def test_announcement_is_bounded(host: Path, pv: Guest):
    await write(host, libxl_nodes(pv.domid))
    (fact,) = await announced(env_of(host, Deadlines(announce=0.1)), pv.domid)
    why = "not done in 0.1 s (deadline announce)"
    assert fact == f"interfaces were not announced: {why}"


async def test_xenstored_that_is_gone_is_told(own_host: Path):
    env = env_of(own_host, Deadlines(xenstore=0.3))
    with Guest(own_host, "pv") as guest:
        await aside(guest.kill_host)
        (fact,) = await announced(env, guest.domid)
        assert fact.startswith("interfaces were not announced: can't reach xenstored")
        await aside(restarted, own_host)


def restarted(host: Path) -> None:
    from libxlpy.simxen.client import start_host

    start_host(host)
