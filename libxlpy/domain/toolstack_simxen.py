"""Domain configurations as they go into a save file, in libxl's JSON.

On Xen it is what libxl keeps for each domain; an embedded host's domains are told in
the same words, so that one reader does for both.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from libxlpy.backend import Backend
from libxlpy.errors import BackendError, UsageError
from libxlpy.simxen.client import SimClient
from libxlpy_protocol.errors import LibxlpyError

#: Longest configuration that is taken, bytes; libxl's are some KiB.
CONFIG_MAX = 1 << 20
#: Seconds for the embedded host to tell of a domain.
ANSWER_TIMEOUT = 10.0
#: Seconds for the embedded host to build an empty domain.
BUILD_TIMEOUT = 60.0
KIB_PER_MIB = 1024


async def stored_config(backend: Backend, domid: int, uuid: str) -> bytes:
    """Give a domain's configuration.

    Raises:
        BackendError: It has none, or it can't be read.
    """
    if backend.host is not None:
        return await _host_config(backend, domid)
    path = backend.userdata_path(domid, uuid)
    try:
        config = await asyncio.to_thread(_read_start, path)
    except OSError as exc:
        text = f"no configuration of domain {domid}: {path}: {exc.strerror}"
        raise BackendError(text) from exc
    if len(config) > CONFIG_MAX:
        raise BackendError(f"configuration {path} is longer than {CONFIG_MAX} bytes")
    return without_domid(config)


def without_domid(config: bytes) -> bytes:
    """Forget the domid that a domain was made with; as ``xl save`` does, without -D.

    Libxenlight gives none twice within a minute: with it a restore might have to wait.
    """
    try:
        parsed = json.loads(config.rstrip(b"\0"))
        del parsed["c_info"]["domid"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return config  # there is none, or it is for others to judge
    return json.dumps(parsed, indent=4).encode() + b"\n"


def _read_start(path: Path) -> bytes:
    """Read a file, and of one that is too long enough to tell."""
    with path.open("rb") as file:
        return file.read(CONFIG_MAX + 1)


# ----- embedded host --------------------------------------------------------------


async def _host_config(backend: Backend, domid: int) -> bytes:
    assert backend.host is not None
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT), SimClient(backend.host) as client:
            facts = await client.info(domid)
    except TimeoutError as exc:
        text = f"the host said nothing of domain {domid} in {ANSWER_TIMEOUT:g} s"
        raise BackendError(text) from exc
    except LibxlpyError as exc:
        raise BackendError(str(exc)) from exc
    memory_kib = facts["memory_mib"] * KIB_PER_MIB
    config = {
        "c_info": {
            "type": facts["type"],
            "name": facts["name"],
            "uuid": facts["uuid"],
        },
        "b_info": {
            "max_vcpus": facts["vcpus"],
            "max_memkb": memory_kib,
            "target_memkb": memory_kib,
        },
        "simxen": facts["config"],
    }
    return json.dumps(config, indent=4).encode() + b"\n"


async def restored_domain(
    backend: Backend, config: bytes | None, name: str | None
) -> tuple[int, str]:
    """Have the embedded host build an empty domain to restore into.

    Args:
        backend: An embedded host.
        config: As :func:`stored_config` gave it.
        name: For the domain instead of the configured one.

    Returns:
        Its domid and name.

    Raises:
        UsageError: The configuration can't be used.
        BackendError: The host refuses.
    """
    fields = domain_fields(config)
    fields["name"] = name or fields["name"]
    assert backend.host is not None
    try:
        async with asyncio.timeout(BUILD_TIMEOUT), SimClient(backend.host) as client:
            domid = await _create(client, fields)
    except TimeoutError as exc:
        text = f"the host did not build a domain in {BUILD_TIMEOUT:g} s"
        raise BackendError(text) from exc
    except LibxlpyError as exc:
        raise BackendError(str(exc)) from exc
    return domid, str(fields["name"])


async def _create(client: SimClient, fields: dict[str, Any]) -> int:
    """Create a domain; if we are cancelled meanwhile, no domain is left."""
    creating = asyncio.create_task(client.create(**fields, restore=True))
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        await client.destroy(await creating)
        raise


def domain_fields(config: bytes | None) -> dict[str, Any]:
    """Give what the embedded host must know to build a domain.

    Raises:
        UsageError: There is no configuration, or one that says too little.
    """
    if not config:
        raise UsageError("no configuration: a restore needs the one that was saved")
    try:
        parsed = json.loads(config.rstrip(b"\0"))
        created, built = parsed["c_info"], parsed["b_info"]
        memory_kib = int(built.get("max_memkb") or built["target_memkb"])
        return {
            "name": str(created["name"]),
            "type": str(created["type"]),
            "memory_mib": -(-memory_kib // KIB_PER_MIB),
            "vcpus": int(built.get("max_vcpus", 1)),
            "config": dict(parsed.get("simxen", {})),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        text = f"configuration can't be used: {type(exc).__name__}: {exc}"
        raise UsageError(text) from exc
