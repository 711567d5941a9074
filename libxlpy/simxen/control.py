"""The control socket: one JSON object a line asks, one answers.

Only who may enter the host's directory gets here. Bad input gets one line that names
what is wrong and what to do.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from libxlpy.errors import reason_of
from libxlpy.simxen.directory import MAX_REQUEST
from libxlpy.simxen.domain import Domain
from libxlpy.simxen.errors import HypercallError, SimxenError
from libxlpy.simxen.faults import SLOW, XENSTORED_FAULTS, Fault
from libxlpy.simxen.spec import (
    DomainSpec,
    parse_spec,
    read_bool,
    read_int,
    read_name,
)
from libxlpy_protocol.fields import brief
from libxlpy_protocol.json_text import JsonError, parse_object
from libxlpy_protocol.value import Value

#: The longest that ``slow_ack`` and ``slow_suspend`` may be told to take, seconds.
MAX_SLOW = 600

Fields = dict[str, Any]


class Machine(Protocol):
    """What requests act on."""

    domains: dict[int, Domain]

    async def create(self, spec: DomainSpec) -> Domain:
        """Build a domain."""
        ...

    async def launch(self, domid: int, *, name: str | None, paused: bool) -> Domain:
        """Let a restored domain begin."""
        ...

    async def destroy(self, domid: int) -> None:
        """End a domain."""
        ...

    def domain(self, domid: int) -> Domain:
        """Give a domain that exists."""
        ...

    def facts(self, domain: Domain) -> Fields:
        """Give all that is known of a domain."""
        ...

    async def misbehave(self, fault: str) -> None:
        """Have the xenstored misbehave."""
        ...

    def stop_soon(self) -> None:
        """End the host."""
        ...


class Client(Value):
    """One connection."""

    machine: Machine
    #: Domains that end with it, by their domid: their uuids.
    tied: dict[int, str]


# ----------------------------------------------------------------- requests


async def _ping(_client: Client, _fields: Fields) -> Fields:
    return {}


async def _create(client: Client, fields: Fields) -> Fields:
    is_tied = read_bool("tied", fields.pop("tied", False))
    domain = await client.machine.create(parse_spec(fields))
    if is_tied:
        client.tied[domain.domid] = str(domain.uuid)
    return {"domid": domain.domid, "uuid": str(domain.uuid)}


async def _keep(client: Client, fields: Fields) -> Fields:
    client.tied.pop(_domain(client.machine, fields).domid, None)
    return {}


async def _launch(client: Client, fields: Fields) -> Fields:
    name = fields.get("name")
    if name is not None:
        name = read_name("name", name)
    paused = read_bool("paused", fields.get("paused", False))
    meant = _domain(client.machine, fields).domid
    domain = await client.machine.launch(meant, name=name, paused=paused)
    return {"domid": domain.domid}


async def _destroy(client: Client, fields: Fields) -> Fields:
    await client.machine.destroy(_domain(client.machine, fields).domid)
    return {}


async def _list(client: Client, _fields: Fields) -> Fields:
    living = [each for each in client.machine.domains.values() if not each.dying]
    return {"domains": [client.machine.facts(each) for each in living]}


async def _info(client: Client, fields: Fields) -> Fields:
    return client.machine.facts(client.machine.domain(_domid(fields)))


async def _verify(client: Client, fields: Fields) -> Fields:
    return await client.machine.domain(_domid(fields)).verify()


async def _misbehave(client: Client, fields: Fields) -> Fields:
    domain = client.machine.domain(_domid(fields))
    name = _text(fields, "fault")
    fault = Fault(
        name,
        once=read_bool("once", fields.get("once", False)),
        seconds=read_int("seconds", fields.get("seconds", int(SLOW)), 0, MAX_SLOW),
        command=_text(fields, "command"),
    )
    domain.faults.set(fault if name else None)
    return {}


async def _xenstored(client: Client, fields: Fields) -> Fields:
    fault = _text(fields, "fault")
    if fault and fault not in XENSTORED_FAULTS:
        known = ", ".join(XENSTORED_FAULTS)
        raise SimxenError(f"unknown fault {brief(fault)}: use one of {known}")
    await client.machine.misbehave(fault)
    return {}


async def _stop(client: Client, _fields: Fields) -> Fields:
    client.machine.stop_soon()
    return {}


Handler = Callable[[Client, Fields], Awaitable[Fields]]

#: Request -> what does it, and the fields it may have (``create`` looks by itself).
REQUESTS: Mapping[str, tuple[Handler, frozenset[str] | None]] = {
    "ping": (_ping, frozenset()),
    "create": (_create, None),
    "keep": (_keep, frozenset({"domid", "uuid"})),
    "launch": (_launch, frozenset({"domid", "uuid", "name", "paused"})),
    "destroy": (_destroy, frozenset({"domid", "uuid"})),
    "list": (_list, frozenset()),
    "info": (_info, frozenset({"domid"})),
    "verify": (_verify, frozenset({"domid"})),
    "misbehave": (
        _misbehave,
        frozenset({"domid", "fault", "once", "seconds", "command"}),
    ),
    "xenstored": (_xenstored, frozenset({"fault"})),
    "stop": (_stop, frozenset()),
}


def _domid(fields: Fields) -> int:
    if "domid" not in fields:
        raise SimxenError("domid is missing: say which domain")
    return read_int("domid", fields["domid"], 0, 0xFFFF)


def _domain(machine: Machine, fields: Fields) -> Domain:
    """Give the domain that is meant: by its uuid too, if the request has one."""
    domain = machine.domain(_domid(fields))
    uuid = _text(fields, "uuid")
    if uuid and uuid != str(domain.uuid):
        raise SimxenError(f"domain {domain.domid} is another domain now: left alone")
    return domain


def _text(fields: Fields, key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise SimxenError(f"{key} must be text, not {brief(value)}")
    return value


def _parse(line: bytes) -> tuple[str, Fields]:
    try:
        request = parse_object(line)
    except JsonError as exc:
        text = f"the request can't be read: {exc}; send one JSON object a line"
        raise SimxenError(text) from None
    do = request.pop("do", None)
    if not isinstance(do, str) or do not in REQUESTS:
        known = ", ".join(REQUESTS)
        raise SimxenError(f"unknown request {brief(do)}: use one of {known}")
    allowed = REQUESTS[do][1]
    unknown = sorted(set(request) - allowed) if allowed is not None else []
    if unknown:
        raise SimxenError(f"unknown field {brief(unknown[0])} in {do}")
    return do, request


class ControlServer:
    """Answers control requests; each connection's one after the other.

    Args:
        machine: What they act on.
        path: Where the socket is made.
    """

    def __init__(self, machine: Machine, path: Path) -> None:
        self._machine = machine
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to take clients.

        Raises:
            OSError: The socket can't be made.
        """
        self._server = await asyncio.start_unix_server(
            self._serve, str(self._path), limit=MAX_REQUEST
        )

    async def stop(self) -> None:
        """Drop all clients and remove the socket."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        client = Client(self._machine, {})
        try:
            while line := await reader.readline():
                answer = await self._answer(client, line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError):
            pass  # a line without end, or nobody to answer to
        except asyncio.CancelledError:
            pass  # the host stops; the server's own task must not see it
        finally:
            await self._end(client)
            self._tasks.discard(task)
            writer.close()

    async def _end(self, client: Client) -> None:
        """Destroy what has not been kept."""
        for domid, uuid in client.tied.items():
            with contextlib.suppress(SimxenError, HypercallError):
                await _destroy(client, {"domid": domid, "uuid": uuid})

    async def _answer(self, client: Client, line: bytes) -> Fields:
        try:
            do, fields = _parse(line)
            return {"ok": True, **await REQUESTS[do][0](client, fields)}
        except (SimxenError, HypercallError) as exc:
            return {"ok": False, "error": str(exc)}
        except OSError as exc:
            return {"ok": False, "error": f"the system refuses: {reason_of(exc)}"}
