"""What the embedded host does for its domains, in the words of libxl."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from libxlpy.domain.config import (
    checked_name,
    checked_uuid,
    parse_config,
    stored_domid,
)
from libxlpy.errors import BackendError, ConfigRefused, UsageError
from libxlpy.later import Later
from libxlpy.process.environment import Environment
from libxlpy.simxen.client import SimClient
from libxlpy.simxen.errors import SimxenError
from libxlpy_protocol.enums import Op
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.value import Value

if TYPE_CHECKING:
    from libxlpy.simxen import spec
else:  # for a domain that is to be built
    spec = Later("libxlpy.simxen.spec")

#: Seconds for the embedded host to tell of a domain.
ANSWER_TIMEOUT = 10.0
#: Seconds for the embedded host to launch or destroy a guest.
GUEST_TIMEOUT = 30.0
#: Seconds for the embedded host to build an empty domain.
BUILD_TIMEOUT = 60.0
#: Seconds between two looks at a launch that is under way.
LOOK_AGAIN = 0.05
NO_ANSWER = f"no answer in {GUEST_TIMEOUT:g} s"
KIB_PER_MIB = 1024


class Building(Value):
    """An empty domain to restore into; it ends with us until it is kept."""

    domid: int
    uuid: str
    name: str
    has_device_model: bool
    _client: SimClient
    _connection: AsyncExitStack

    async def keep(self) -> None:
        """Have it outlive us; it is known by then to who would remove it.

        Raises:
            BackendError: The host does not answer, or has no such domain.
        """
        async with _asked(GUEST_TIMEOUT, NO_ANSWER):
            await self._client.keep(self.domid)
        await self.let_go()

    async def let_go(self) -> None:
        """Have the host remove it, unless it is kept."""
        await self._connection.aclose()


class SimxenToolstack:
    """The embedded host, and what it keeps of its domains."""

    #: Of the backend; tells the two apart.
    kind: Literal["simxen"] = "simxen"

    def __init__(self, env: Environment, host: Path) -> None:
        """Use it.

        Args:
            env: Of an embedded host.
            host: Its folder.
        """
        self._env = env
        self._folder = host

    async def config(self, domid: int, uuid: str) -> bytes:
        """Give a domain's configuration in libxl's JSON, so that one reader does.

        Raises:
            BackendError: The host does not tell it.
        """
        missing = f"the host said nothing of domain {domid} in {ANSWER_TIMEOUT:g} s"
        async with self._host(ANSWER_TIMEOUT, missing) as client:
            return host_config(await client.info(domid))

    def check_name(self, name: str) -> None:
        """Refuse what the host would build no domain of.

        Raises:
            UsageError: It would not.
        """
        try:
            spec.read_name("name", name)
        except SimxenError as exc:
            raise UsageError(str(exc)) from exc

    async def destroy(self, domid: int, uuid: str) -> None:
        """End a domain; errors as of ``HelperLink.checked_op``."""
        async with self._env.hypercalls() as ops:
            await ops.checked_op(Op.DESTROY, domid, uuid=uuid)

    # ----- restore ----------------------------------------------------------------

    async def build(
        self, config: bytes | None, name: str | None, *, keep_uuid: bool = False
    ) -> Building:
        """Have an empty domain built to restore into.

        Args:
            config: As :meth:`config` gave it.
            name: For the domain instead of the configured one.
            keep_uuid: Also if a domain has its uuid already.

        Raises:
            ConfigRefused: The configuration can't be used.
            BackendError: The host refuses.
        """
        fields = domain_fields(config, name)
        try:
            spec.parse_spec(fields)
        except SimxenError as exc:
            raise ConfigRefused(f"configuration can't be used: {exc}") from exc
        missing = f"the host did not build a domain in {BUILD_TIMEOUT:g} s"
        async with AsyncExitStack() as connection:
            async with _asked(BUILD_TIMEOUT, missing):
                client = await connection.enter_async_context(SimClient(self._folder))
                made = await client.ask(
                    "create", **fields, restore=True, keep_uuid=keep_uuid, tied=True
                )
            return Building(
                int(made["domid"]),
                str(made["uuid"]),
                str(fields["name"]),
                fields["type"] == "hvm",
                client,
                connection.pop_all(),
            )

    async def launch(self, domid: int, uuid: str, *, paused: bool) -> None:
        """Let the guest of a domain run that was filled; errors as of the host."""
        async with self._host(GUEST_TIMEOUT, NO_ANSWER) as client:
            await client.launch(domid, uuid=uuid, paused=paused)

    async def launched(self, domid: int) -> bool:
        """Tell whether a guest that was restored has had its launch.

        One that is under way, asked for by a toolstack that died, is waited for.
        """
        async with self._host(GUEST_TIMEOUT, NO_ANSWER) as client:
            answer = await client.info(domid)
            while answer["launched"] is None:
                await asyncio.sleep(LOOK_AGAIN)
                answer = await client.info(domid)
            return bool(answer["launched"])

    async def remove(self, domid: int, uuid: str) -> None:
        """Destroy a domain that is half built; errors as of the host."""
        async with self._host(GUEST_TIMEOUT, NO_ANSWER) as client:
            await client.destroy(domid, uuid=uuid)

    # ----- private ----------------------------------------------------------------

    @asynccontextmanager
    async def _host(self, seconds: float, missing: str) -> AsyncIterator[SimClient]:
        """Give a connection to the host; arguments and errors as of ``_asked``."""
        async with _asked(seconds, missing), SimClient(self._folder) as client:
            yield client


@asynccontextmanager
async def _asked(seconds: float, missing: str) -> AsyncIterator[None]:
    """Ask the host something.

    Args:
        seconds: Until its answer.
        missing: What to tell if there is none.

    Raises:
        BackendError: It does not answer, or refuses.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise BackendError(missing) from exc
    except UsageError:
        raise
    except LibxlpyError as exc:
        raise BackendError(str(exc)) from exc


def host_config(facts: dict[str, Any]) -> bytes:
    """Give a domain's configuration in libxl's JSON, of what the host tells of it."""
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


def domain_fields(config: bytes | None, name: str | None = None) -> dict[str, Any]:
    """Give what the embedded host must know to build a domain.

    Args:
        config: As ``host_config`` made it, or who wrote one for it.
        name: For the domain instead of the configured one.

    Raises:
        ConfigRefused: There is no configuration, or one that says too little.
    """
    parsed = parse_config(config)
    created, built = parsed["c_info"], parsed.get("b_info")
    if not isinstance(built, dict):
        raise ConfigRefused("configuration is none of libxl: it has no b_info")
    uuid = checked_uuid(created.get("uuid"))
    domid = stored_domid(created.get("domid"))
    memory = "max_memkb" if built.get("max_memkb") else "target_memkb"
    return {
        "name": checked_name(created.get("name") if name is None else name),
        "type": _read(created, "c_info", "type", str),
        "memory_mib": -(-_read(built, "b_info", memory, int) // KIB_PER_MIB),
        **({"uuid": uuid} if uuid else {}),
        **({"domid": domid} if domid else {}),
        "vcpus": _read(built, "b_info", "max_vcpus", int, default=1),
        "config": _read(parsed, "its", "simxen", dict, default={}),
    }


def _read(
    part: dict[str, Any], where: str, key: str, kind: type, default: object = None
) -> Any:
    """Give a value of the one type that it may have."""
    value = part.get(key, default)
    if type(value) is not kind:
        text = f"{where} {key} is {json.dumps(value):.40}"
        raise ConfigRefused(f"configuration can't be used: {text}")
    return value
