"""The QMP socket of one device model: one client at a time, as qemu's monitor has it.

Source: QEMU, docs/interop/qmp-spec.rst; Xen, tools/libs/light/libxl_qmp.c for what a
toolstack sends.
"""

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

from libxlpy.simxen.device_model import DeviceModel
from libxlpy.simxen.faults import FaultPlan, Place
from libxlpy.simxen.json_text import json_end
from libxlpy.simxen.qmp_commands import COMMANDS, AssertionDied, FdSets, QmpError
from libxlpy_protocol.json_text import JsonError, parse

#: Bytes of one command, and descriptors that may come with it.
MAX_COMMAND = 64 << 10
MAX_FDS = 4

GREETING = {
    "QMP": {
        "version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "simxen"},
        "capabilities": [],
    }
}


class _GoneError(Exception):
    """The client, or by a fault the device model's monitor, is gone."""


class QmpServer:
    """Serves a device model on a unix socket.

    Args:
        device_model: Whom the commands go to.
        faults: The domain's; some show here.
        path: Where the socket is made.

    Raises:
        OSError: The socket can't be made.
    """

    def __init__(
        self, device_model: DeviceModel, faults: FaultPlan, path: Path
    ) -> None:
        self._device_model = device_model
        self._faults = faults
        self._path = path
        self._listener = socket.socket(
            socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        )
        self._listener.bind(str(path))
        self._listener.listen(8)
        self.alive = True
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Drop the client and remove the socket."""
        self._task.cancel()
        await asyncio.wait({self._task})
        self._close(remove=True)

    def _close(self, *, remove: bool) -> None:
        """Take no more clients; one that died leaves its socket's name behind."""
        self.alive = False
        self._listener.close()
        if remove:
            self._path.unlink(missing_ok=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self.alive:
            sock, _ = await loop.sock_accept(self._listener)
            client = _Client(sock, self._device_model, self._faults)
            try:
                await client.serve()
            except (_GoneError, OSError):
                self._follow(client)
            finally:
                client.close()

    def _follow(self, client: "_Client") -> None:
        """End with the device model, before its last client can see the end."""
        if client.quit:
            self._device_model.running = False
            self._close(remove=not client.died)


class _Client:
    """One connection: negotiation, then commands."""

    def __init__(
        self, sock: socket.socket, device_model: DeviceModel, faults: FaultPlan
    ) -> None:
        self._sock = sock
        self._sock.setblocking(False)
        self._device_model = device_model
        self._faults = faults
        self._negotiated = False
        self._buffer = b""
        self._fds = FdSets()
        #: The device model ended: at ``quit``, or it died.
        self.quit = False
        self.died = False

    def close(self) -> None:
        """Give socket and descriptors back."""
        self._sock.close()
        self._fds.close()

    async def serve(self) -> None:
        """Greet, then answer until the client leaves."""
        if not await self._fails("greeting"):
            await self._send(GREETING)
        while True:
            await self._answer(await self._text())

    async def _answer(self, text: bytes) -> None:
        request: dict[str, Any] = {}
        try:
            request = _parse(text)
            if await self._fails(request["execute"], request):
                return
            was_running = self._device_model.running
            reply: dict[str, Any] = {"return": self._execute(request)}
            await self._tell_change(was_running)
        except AssertionDied:
            self.quit = self.died = True
            raise _GoneError from None
        except QmpError as exc:
            reply = {"error": {"class": exc.kind, "desc": str(exc)}}
        await self._send(_with_id(reply, request))
        if "return" in reply and request["execute"] == "quit":
            self.quit = True
            raise _GoneError

    def _execute(self, request: dict[str, Any]) -> Any:
        name = request["execute"]
        if not self._negotiated:
            if name != "qmp_capabilities":
                raise QmpError(
                    "CommandNotFound",
                    "Expecting capabilities negotiation with 'qmp_capabilities'",
                )
            self._negotiated = True
            return {}
        if name not in COMMANDS:
            raise QmpError("CommandNotFound", f"The command {name} has not been found")
        arguments = request.get("arguments", {})
        return COMMANDS[name](self._device_model, self._fds, arguments)

    async def _tell_change(self, was_running: bool) -> None:
        running = self._device_model.running
        if running != was_running:
            await self._send(_event("RESUME" if running else "STOP"))

    async def _fails(self, command: str, request: dict[str, Any] | None = None) -> bool:
        """Misbehave if the domain was told to; true if there is no more to answer."""
        fault = self._faults.take(Place.QMP, command)
        name = fault.name if fault else ""
        if name == "qmp_error":
            error = {"error": {"class": "GenericError", "desc": "simxen: told to fail"}}
            await self._send(_with_id(error, request or {}))
        elif name == "qmp_garbage":
            await self._write(b"\xff{]garbage\r\n")
        elif name == "qmp_die":
            self.quit = self.died = True
            raise _GoneError
        return bool(name)

    # -------------------------------------------------------------------- bytes

    async def _text(self) -> bytes:
        """Wait for one whole JSON text; as with qemu, no newline need follow it."""
        while not (end := json_end(self._buffer)):
            if len(self._buffer) > MAX_COMMAND:
                raise _GoneError
            self._buffer = (self._buffer + await self._receive()).lstrip()
        text, self._buffer = self._buffer[:end], self._buffer[end:].lstrip()
        return text

    async def _receive(self) -> bytes:
        """Wait for bytes; descriptors that come along are kept for ``add-fd``."""
        await _readable(self._sock)
        data, fds, _, _ = socket.recv_fds(
            self._sock, 4096, MAX_FDS, socket.MSG_CMSG_CLOEXEC
        )
        self._fds.received += fds
        if not data:
            raise _GoneError
        return data

    async def _send(self, message: dict[str, Any]) -> None:
        await self._write(json.dumps(message).encode() + b"\r\n")

    async def _write(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._sock, data)


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _parse(text: bytes) -> dict[str, Any]:
    try:
        request = parse(text)
    except JsonError:
        raise QmpError("GenericError", "Invalid JSON syntax") from None
    if not isinstance(request, dict):
        raise QmpError("GenericError", "QMP input must be a JSON object")
    if not isinstance(request.get("execute"), str):
        raise QmpError("GenericError", "QMP input lacks member 'execute'")
    if not isinstance(request.get("arguments", {}), dict):
        raise QmpError("GenericError", "QMP input member 'arguments' must be an object")
    return request


def _with_id(reply: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    return {**reply, "id": request["id"]} if "id" in request else reply


def _event(name: str) -> dict[str, Any]:
    now = time.time_ns() // 1000
    stamp = {"seconds": now // 1_000_000, "microseconds": now % 1_000_000}
    return {"timestamp": stamp, "event": name}
