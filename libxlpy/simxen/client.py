"""The other side of a host: start it, ask it, stop it.

:class:`SimClient` is for programs with an event loop; :func:`request` does the same
blocking, for a command line. Starting and stopping block too, for a bounded time.
"""

import asyncio
import errno
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from libxlpy.aio import aside
from libxlpy.errors import reason_of
from libxlpy.simxen.directory import (
    CONTROL_SOCKET,
    MAX_REQUEST,
    READY,
    HostDirectory,
    recorded_host,
    refuse_others,
)
from libxlpy.simxen.errors import HostNotRunning, SimxenError

#: Seconds for a host to start, and to stop with many domains.
START_TIMEOUT = 30.0
STOP_TIMEOUT = 30.0
#: Seconds for a look at its directory.
LOOK_TIMEOUT = 10.0
#: Seconds for one answer: a large memory is filled or verified meanwhile.
ANSWER_TIMEOUT = 600.0
#: What a host is made of; it uses the starter's copies.
PACKAGES = ("libxlpy", "libxlpy_protocol", "libxlpy_helper")


# ------------------------------------------------------------ start and stop


def start_host(
    directory: str | os.PathLike[str], *, memory_mib: int | None = None
) -> None:
    """Start a host in the background; it answers when this returns.

    The host is nobody's child: its starter may end.

    Args:
        directory: Made if missing; must be closed to others.
        memory_mib: What its domains may have; None for what the machine has.

    Raises:
        SimxenError: It does not start; says why.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            status = _spawn(Path(directory).absolute(), writing, memory_mib)
        finally:
            os.close(writing)
        line = _read_line(reading, time.monotonic() + START_TIMEOUT)
    finally:
        os.close(reading)
    if line != READY:
        text = line.decode(errors="replace").strip()
        raise SimxenError(text or f"the simxen host did not start (status {status})")


def _spawn(directory: Path, ready_fd: int, memory_mib: int | None) -> int:
    """Run the starter process, which forks the host and ends."""
    packages = [_root(name) for name in PACKAGES]
    return subprocess.run(
        [
            sys.executable,
            "-P",
            "-s",
            "-m",
            "libxlpy.simxen",
            str(directory),
            "--background",
            str(ready_fd),
            *([] if memory_mib is None else ["--memory", str(memory_mib)]),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(ready_fd,),
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join(packages), "PATH": os.defpath},
        start_new_session=True,
        timeout=START_TIMEOUT,
        check=False,
    ).returncode


def _root(package: str) -> str:
    """Give the folder that a package is imported from."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SimxenError(f"package {package} is missing: install libxlpy again")
    return str(Path(spec.submodule_search_locations[0]).resolve().parent)


def _read_line(fd: int, deadline: float) -> bytes:
    data = b""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    while not data.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            raise SimxenError(f"the simxen host did not start in {START_TIMEOUT:g} s")
        chunk = os.read(fd, 4096)
        if not chunk:
            break
        data += chunk
    return data


def stop_host(directory: str | os.PathLike[str]) -> None:
    """Stop a host; nothing of it is left when this returns, or raises.

    Raises:
        HostNotRunning: There is none; what a dead one left is gone now.
        SimxenError: Another user could have written what is in its directory.
    """
    path = Path(directory).absolute()
    refuse_others(path)
    identity = recorded_host(path)
    pidfd = identity.open() if identity and identity.alive() else None
    if pidfd is None:
        if identity is not None:
            _clean(path)
        raise HostNotRunning(path)
    try:
        _ask_to_stop(path)
        if not _ended(pidfd, STOP_TIMEOUT):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            _ended(pidfd, STOP_TIMEOUT)
            _clean(path)
    finally:
        os.close(pidfd)


def _clean(path: Path) -> None:
    """Remove what a dead host left, as the next host in its directory would."""
    directory = HostDirectory(path)
    directory.acquire()
    directory.release()


def _ask_to_stop(path: Path) -> None:
    try:
        request(path, "stop")
    except HostNotRunning:
        return  # it is stopping already


def _ended(pidfd: int, timeout: float) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(timeout * 1000))


# ------------------------------------------------------------------- asking


def request(
    directory: str | os.PathLike[str], do: str, **fields: Any
) -> dict[str, Any]:
    """Ask a host, blocking; see :class:`SimClient` for what can be asked.

    Raises:
        HostNotRunning: Nobody answers.
        SimxenError: The host refuses; says why.
    """
    path = Path(directory).absolute() / CONTROL_SOCKET
    refuse_others(path.parent)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_TIMEOUT)
        try:
            sock.connect(str(path))
            sock.sendall(_encode(do, fields))
            with sock.makefile("rb") as file:
                line = file.readline()
        except PermissionError as exc:
            raise _forbidden(path.parent) from exc
        except OSError as exc:
            raise HostNotRunning(path.parent) from exc
    return _decode(line, path.parent)


def _encode(do: str, fields: dict[str, Any]) -> bytes:
    """Give the line that asks for something.

    Raises:
        SimxenError: It is longer than any that the host takes.
    """
    line = json.dumps({"do": do, **fields}).encode() + b"\n"
    if len(line) > MAX_REQUEST:
        text = f"a simxen host takes {MAX_REQUEST:,} bytes at most"
        raise SimxenError(f"request {do} is {len(line):,} bytes long: {text}")
    return line


def _decode(line: bytes, directory: Path) -> dict[str, Any]:
    """Give what a line answers.

    Raises:
        HostNotRunning: The line is not whole: the host has gone.
        SimxenError: The host has refused; it says why.
    """
    if not line.endswith(b"\n"):
        raise HostNotRunning(directory)
    try:
        answer: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError) as exc:
        text = f"what answers in {directory} is no simxen host: choose another"
        raise SimxenError(text) from exc
    if not answer.pop("ok"):
        raise SimxenError(answer["error"])
    return answer


def _forbidden(directory: Path) -> SimxenError:
    return SimxenError(
        f"no permission to use the simxen host in {directory}: run as the user who "
        "started it"
    )


class SimClient:
    """Asks one host; an async context manager. Requests are answered in turn.

    Args:
        directory: Where the host runs.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory).absolute()
        self._lock = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            HostNotRunning: Nobody answers.
            SimxenError: Another user could be the one who does.
        """
        try:
            await aside(lambda: refuse_others(self.directory), LOOK_TIMEOUT)
            self._reader, self._writer = await asyncio.open_unix_connection(
                str(self.directory / CONTROL_SOCKET), limit=16 * MAX_REQUEST
            )
        except PermissionError as exc:
            raise _forbidden(self.directory) from exc
        except OSError as exc:  # no answer of its disk is one of them
            if exc.errno in (errno.EMFILE, errno.ENFILE):
                raise SimxenError(f"can't ask the host: {reason_of(exc)}") from exc
            raise HostNotRunning(self.directory) from exc
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect."""
        if self._writer is not None:
            self._writer.close()
            try:
                await self._writer.wait_closed()
            except ConnectionError:
                return  # the host was faster

    async def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send one request and give its answer.

        Raises:
            HostNotRunning: The host is gone.
            SimxenError: The host refuses; says why.
        """
        async with self._lock:
            if self._writer is None:
                raise HostNotRunning(self.directory)
            try:
                self._writer.write(_encode(do, fields))
                await self._writer.drain()
                line = await self._reader.readline()
            except ConnectionError as exc:
                raise HostNotRunning(self.directory) from exc
        return _decode(line, self.directory)

    async def create(self, name: str, **fields: Any) -> int:
        """Create a domain; gives its domid.

        Args:
            name: Of the domain.
            fields: Those of ``spec.DomainSpec``; and ``tied``, for one that ends with
                this connection unless :meth:`keep` is called.
        """
        return int((await self.ask("create", name=name, **fields))["domid"])

    async def keep(self, domid: int, *, uuid: str = "") -> None:
        """Let a domain outlive this connection, to which it was tied when made."""
        await self.ask("keep", domid=domid, uuid=uuid)

    async def launch(
        self,
        domid: int,
        *,
        uuid: str = "",
        name: str | None = None,
        paused: bool = False,
    ) -> None:
        """Let a restored domain begin; not another one than that of ``uuid``."""
        await self.ask("launch", domid=domid, uuid=uuid, name=name, paused=paused)

    async def destroy(self, domid: int, *, uuid: str = "") -> None:
        """End a domain; not another one than that of ``uuid``."""
        await self.ask("destroy", domid=domid, uuid=uuid)

    async def list(self) -> list[dict[str, Any]]:
        """Give the facts of all domains."""
        domains: list[dict[str, Any]] = (await self.ask("list"))["domains"]
        return domains

    async def info(self, domid: int) -> dict[str, Any]:
        """Give the facts of one domain."""
        return await self.ask("info", domid=domid)

    async def verify(self, domid: int) -> dict[str, Any]:
        """Check a domain's whole memory; ``match`` says whether it is right."""
        return await self.ask("verify", domid=domid)

    async def misbehave(self, domid: int, fault: str, **fields: Any) -> None:
        """Let a domain misbehave (a name of ``faults.FAULTS``); "" ends that."""
        await self.ask("misbehave", domid=domid, fault=fault, **fields)

    async def stop(self) -> None:
        """Ask the host to stop; :func:`stop_host` also waits."""
        await self.ask("stop")
