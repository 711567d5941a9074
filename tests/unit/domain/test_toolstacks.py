"""A domain's configuration: what is taken from it, and where it is kept."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from libxlpy import backend, errors
from libxlpy.deadlines import Deadlines
from libxlpy.domain import toolstack_simxen
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.domain.toolstack_simxen import domain_fields
from libxlpy.domain.toolstack_xen import XenToolstack
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy.simxen.xenstored.server import XenstoreServer
from libxlpy.simxen.xenstored.store import Store

UUID = "0b2ff1c0-5a4e-4a5f-9f6a-111111111111"

pytestmark = pytest.mark.usefixtures("nothing_blocks")


def test_configuration_travels_whole():
    config = {
        "c_info": {"name": "web", "type": "hvm"},
        "b_info": {"max_memkb": 8193, "max_vcpus": 2},
        "simxen": {"free": 1},
    }
    fields = domain_fields(json.dumps(config).encode() + b"\0")
    assert fields == {
        "name": "web",
        "type": "hvm",
        "memory_mib": 9,
        "vcpus": 2,
        "config": {"free": 1},
    }


@pytest.mark.parametrize("config", [None, b"", b"{", b"[]", b'{"c_info": {}}', b"\xff"])
def test_useless_configuration_is_refused(config: bytes | None):
    with pytest.raises(errors.UsageError):
        domain_fields(config)


@pytest.mark.parametrize(
    ("part", "key", "value", "why"),
    [
        ("c_info", "name", "null", "gives the domain no name"),
        ("c_info", "name", '""', "gives the domain no name"),
        ("c_info", "name", r'"a\u0000b"', "can't be a domain's name"),
        ("c_info", "name", r'"\ud800"', "holds half a character"),
        ("c_info", "type", "null", "c_info type is null"),
        ("b_info", "max_memkb", "1e999", "a number in it is too large"),
        ("b_info", "max_memkb", "NaN", "NaN is no number"),
        ("b_info", "max_memkb", "null", "b_info target_memkb is null"),
        ("b_info", "max_memkb", '"16384"', 'b_info max_memkb is "16384"'),
        ("b_info", "max_memkb", "true", "b_info max_memkb is true"),
        ("b_info", "max_vcpus", "null", "b_info max_vcpus is null"),
        ("b_info", "x", "[" * 999 + "]" * 999, "nested deeper than 64 levels"),
    ],
)
def test_odd_configuration_is_named(part: str, key: str, value: str, why: str):
    config: dict[str, dict[str, object]] = {
        "c_info": {"name": "w", "type": "pv"},
        "b_info": {"max_memkb": 16384},
    }
    config[part][key] = "VALUE"
    text = json.dumps(config).replace('"VALUE"', value)
    with pytest.raises(errors.UsageError, match=why):
        domain_fields(text.encode())


# ----- kept by libxl ------------------------------------------------------------------


@dataclass
class Kept:
    """A dom0 with what libxl keeps of domain 7, and its xenstore."""

    where: backend.Backend
    store: Store

    @property
    def toolstack(self) -> XenToolstack:
        found = toolstack_of(Environment(self.where, Deadlines(), HypercallHelpers()))
        assert isinstance(found, XenToolstack)
        return found

    async def config(self, stored: bytes) -> bytes:
        """Have something stored; give what is told of it."""
        path = self.where.userdata_path(7, UUID)
        await asyncio.to_thread(path.write_bytes, stored)
        return await self.toolstack.config(7, UUID)

    async def told(self, **stored: Any) -> Any:
        return json.loads(await self.config(json.dumps(stored).encode() + b"\n\0"))


@pytest.fixture
async def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kept]:
    monkeypatch.setattr(backend, "XEN_LIB_DIR", tmp_path)
    socket = tmp_path / "xs"
    server = XenstoreServer(store := Store(), socket)
    await server.start()
    yield Kept(backend.Backend("xen", None, socket, tmp_path, tmp_path), store)
    await server.stop()


async def test_configuration_kept_by_xen_is_read_beside_the_loop(kept: Kept):
    assert await kept.told(c_info={"name": "web"}) == {
        "c_info": {"name": "web", "uuid": UUID}
    }
    with pytest.raises(errors.BackendError, match="no configuration of domain 8"):
        await kept.toolstack.config(8, "u")


async def test_its_name_and_uuid_are_those_of_the_domain_now(kept: Kept):
    kept.store.put("/local/domain/7/name", "web")
    created = {"name": "web--incoming", "uuid": "of before", "domid": 7, "x": 1}
    told = await kept.told(c_info=created)
    assert told == {"c_info": {"name": "web", "uuid": UUID, "x": 1}}


@pytest.mark.parametrize(
    ("kind", "stored", "target"),
    [
        ("pvh", {}, 131072),
        ("pvh", {"video_memkb": 0}, 131072),
        ("hvm", {"video_memkb": 8192}, 131072 + 8192),
        ("hvm", {"video_memkb": 8192, "target_memkb": 200000}, 131072 + 8192 + 1024),
        ("pv", {"target_memkb": 200000}, 131072),
    ],
)
async def test_its_memory_is_that_of_the_domain_now(
    kept: Kept, kind: str, stored: dict[str, int], target: int
):
    """As ``xl mem-set`` has left it, counted as libxl counts it."""
    kept.store.put("/local/domain/7/memory/target", "131072")
    kept.store.put("/local/domain/7/memory/static-max", "300000")
    built = {"max_memkb": 262144, "target_memkb": 262144, **stored}
    told = await kept.told(c_info={"type": kind}, b_info=built)
    assert told["b_info"] == {**built, "max_memkb": 300000, "target_memkb": target}


async def test_what_xenstore_does_not_tell_stays_as_it_is_stored(kept: Kept):
    kept.store.put("/local/domain/7/memory/target", "all of it")
    stored = {"c_info": {"name": "w", "uuid": UUID}, "b_info": {"target_memkb": 4096}}
    assert await kept.told(**stored) == stored
    assert await kept.told(**stored | {"b_info": 1}) == stored | {"b_info": 1}


@pytest.mark.parametrize("text", [b"name = 1", b"[]", b'{"c_info": 1}', b"{}\n\0"])
async def test_configuration_that_is_none_is_for_others_to_judge(
    kept: Kept, text: bytes
):
    assert await kept.config(text) == text


async def test_without_xenstore_no_configuration_is_told(kept: Kept, tmp_path: Path):
    kept.where = backend.Backend("xen", None, tmp_path / "no", tmp_path, tmp_path)
    with pytest.raises(errors.XenstoreError, match="can't reach xenstored"):
        await kept.told(c_info={"name": "web"})


# ----- kept by an embedded host -------------------------------------------------------


async def test_host_that_says_nothing_of_a_domain_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(toolstack_simxen, "ANSWER_TIMEOUT", 0.2)
    where = backend.Backend("simxen", tmp_path, tmp_path / "xs", tmp_path, tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        toolstack = toolstack_of(Environment(where, Deadlines(), HypercallHelpers()))
        with pytest.raises(errors.BackendError, match=r"nothing of domain 7 in 0\.2 s"):
            await toolstack.config(7, "")
