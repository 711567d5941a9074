"""Talk to one domain's device model: QMP, every command with its deadline."""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import qemu.qmp
from qemu.qmp.qmp_client import GreetingError, NegotiationError

from libxlpy.errors import QmpError, reason_of
from libxlpy.forked import Owned, lead_nowhere

#: Longest line taken from a device model, bytes.
LINE_MAX = 256 * 1024
#: What qemu.qmp raises; ValueError is its way to say that a line is no UTF-8,
#: RecursionError that it is nested too deeply.
FAILURES = (qemu.qmp.QMPError, OSError, EOFError, ValueError, RecursionError)


class Qmp(Owned):
    """A connection to a device model; made by :func:`connect`, ended by ``close``."""

    def __init__(
        self,
        client: qemu.qmp.QMPClient,
        sock: socket.socket,
        timeout: float,
    ) -> None:
        super().__init__()
        self._client = client
        self._sock = sock
        self._timeout = timeout

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None
    ) -> object:
        """Run a command and give what it returns.

        Raises:
            QmpError: Refused, no answer in time, or the connection is lost; it can't be
                used any more then, but to be closed.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._client.execute(command, arguments)
        except TimeoutError as exc:
            text = f"device model did not answer {command} in {self._timeout:g} s"
            raise QmpError(text) from exc
        except FAILURES as exc:
            raise QmpError(f"device model: {command} failed: {_why(exc)}") from exc

    def disown(self) -> None:
        """Have it lead nowhere: to shut it down would do so for the parent."""
        lead_nowhere([self._sock.fileno()])

    async def close(self) -> None:
        """Close it at once, even to a peer that neither reads nor answers."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # whatever waits for the peer ends
        if self._client.runstate is not qemu.qmp.Runstate.IDLE:
            with suppress(*FAILURES):
                await self._client.disconnect()
        self._sock.close()


async def connect(path: Path, *, timeout: float) -> Qmp:  # noqa: ASYNC109
    """Connect to a device model.

    Args:
        path: Its QMP socket.
        timeout: Seconds for connecting, and for each command.

    Raises:
        QmpError: It can't be reached or does not speak QMP.
    """
    to = f"can't talk to the device model at {path}"
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as exc:
        raise QmpError(f"{to}: {_why(exc)}") from exc
    sock.setblocking(False)
    client = qemu.qmp.QMPClient(readbuflen=LINE_MAX)
    client.events.event_filter = lambda _: False  # else kept until somebody asks
    made = Qmp(client, sock, timeout)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(sock, str(path))
            await client.connect(sock)
    except BaseException as exc:
        await made.close()
        if isinstance(exc, TimeoutError):
            text = f"device model at {path} did not greet in {timeout:g} s"
            raise QmpError(text) from exc
        if isinstance(exc, FAILURES):
            raise QmpError(f"{to}: {_why(exc)}") from exc
        raise
    return made


def _why(exc: Exception) -> str:
    """Give what the device model has done; qemu.qmp speaks of its own objects."""
    cause = exc
    while isinstance(cause, qemu.qmp.ConnectError | GreetingError | NegotiationError):
        cause = cause.exc
    match cause:
        case qemu.qmp.ExecuteError():
            return str(cause)
        case OSError():
            return reason_of(cause)
        case EOFError() | qemu.qmp.ExecInterruptedError() | qemu.qmp.StateError():
            return "the connection to it is lost"
        case _:
            return "what it says is no QMP"
