"""A domain's configuration: what is taken from it, and where it is kept."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from libxlpy import backend, errors
from libxlpy.deadlines import Deadlines
from libxlpy.domain import toolstack_simxen
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.domain.toolstack_simxen import domain_fields
from libxlpy.process.environment import Environment, HypercallHelpers

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


async def test_configuration_kept_by_xen_is_read_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backend, "XEN_LIB_DIR", tmp_path)
    where = backend.Backend("xen", None, tmp_path, tmp_path, tmp_path)
    await asyncio.to_thread(where.userdata_path(7, "u").write_bytes, b"{}\n\0")
    toolstack = toolstack_of(Environment(where, Deadlines(), HypercallHelpers()))
    assert await toolstack.config(7, "u") == b"{}\n\0"
    with pytest.raises(errors.BackendError, match="no configuration of domain 8"):
        await toolstack.config(8, "u")


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
