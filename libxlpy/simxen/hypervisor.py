"""The hypercall socket that libsimxen talks to: fixed requests, fixed replies.

Source: helper/src/simxen/simxen.h; Xen, xen/include/public/domctl.h for the meaning.
"""

import array
import asyncio
import errno
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Protocol

from libxlpy.simxen.domain import Domain
from libxlpy.simxen.errors import HypercallError
from libxlpy.simxen.facts import domain_type, domain_values
from libxlpy.simxen.host_memory import HostMemory
from libxlpy.simxen.suspend_channel import (
    GUEST_PORT,
    TOOLSTACK_PORT,
    SuspendChannel,
)

REQUEST = struct.Struct("<II7Q")
REPLY = struct.Struct("<ii15Q")
_VALUES = 15
#: Set by PV drivers. Source: Xen, xen/include/public/hvm/params.h.
PARAM_CALLBACK_IRQ = 0


class Machine(Protocol):
    """What hypercalls act on."""

    domains: dict[int, Domain]
    memory: HostMemory

    async def destroy(self, domid: int) -> None:
        """End a domain and all that belongs to it."""
        ...


#: Values of a reply, and descriptors to send along.
Result = tuple[list[int], list[int]]
NO_RESULT: Result = ([], [])
Handler = Callable[[Machine, Domain, tuple[int, ...]], Awaitable[Result]]


# --------------------------------------------------------------- operations


async def _op_info(_machine: Machine, domain: Domain, _args: object) -> Result:
    return domain_values(domain), []


async def _op_map(_machine: Machine, domain: Domain, _args: object) -> Result:
    nr_pages = domain.spec.nr_pages
    pid = domain.guest.pid if domain.guest else 0
    address = domain.vcpu["mapping"] if pid else 0
    values = [nr_pages, pid, address, domain_type(domain), nr_pages - 1]
    return values, [domain.memory.fd, domain.vcpu.fd]


async def _op_pause(_machine: Machine, domain: Domain, _args: object) -> Result:
    await domain.pause()
    return NO_RESULT


async def _op_unpause(_machine: Machine, domain: Domain, _args: object) -> Result:
    await domain.unpause()
    return NO_RESULT


async def _op_shutdown(
    _machine: Machine, domain: Domain, args: tuple[int, ...]
) -> Result:
    if not 0 <= args[0] <= 255:
        raise HypercallError(errno.EINVAL)
    await domain.shutdown_by_hypercall(args[0])
    return NO_RESULT


async def _op_resume(
    _machine: Machine, domain: Domain, args: tuple[int, ...]
) -> Result:
    await domain.resume(fast=bool(args[0]))
    return NO_RESULT


async def _op_destroy(machine: Machine, domain: Domain, _args: object) -> Result:
    await machine.destroy(domain.domid)
    return NO_RESULT


async def _op_logdirty(
    _machine: Machine, domain: Domain, args: tuple[int, ...]
) -> Result:
    return [await domain.set_logdirty(bool(args[0]))], []


async def _op_restored(_machine: Machine, domain: Domain, _args: object) -> Result:
    if domain.valid:
        raise HypercallError(errno.EINVAL)
    domain.valid = True
    domain.vcpu["restored"] = 1
    return NO_RESULT


async def _op_hvm_param(
    _machine: Machine, domain: Domain, args: tuple[int, ...]
) -> Result:
    if domain.spec.type == "pv":
        raise HypercallError(errno.EINVAL)
    has_irq = args[0] == PARAM_CALLBACK_IRQ and domain.spec.pv_drivers
    return [int(has_irq)], []


async def _op_subscribe(
    _machine: Machine, domain: Domain, args: tuple[int, ...]
) -> Result:
    channel = domain.suspend_channel
    if channel is not None:  # Xen takes any port; it finds out when it fires it
        channel.subscribed = args[0] == GUEST_PORT
    return NO_RESULT


async def _op_bind(_machine: Machine, _domain: Domain, _args: object) -> Result:
    raise HypercallError(errno.EINVAL)  # the guest offers no such port, or it is bound


async def _op_claim(machine: Machine, domain: Domain, args: tuple[int, ...]) -> Result:
    machine.memory.claim(domain, args[0])
    return NO_RESULT


OP_LIST = 2
OP_BIND = 13
OP_MEMORY = 14
OPERATIONS: Mapping[int, Handler] = {
    1: _op_info,
    3: _op_map,
    4: _op_pause,
    5: _op_unpause,
    6: _op_shutdown,
    7: _op_resume,
    8: _op_destroy,
    9: _op_logdirty,
    10: _op_restored,
    11: _op_hvm_param,
    12: _op_subscribe,
    OP_BIND: _op_bind,
    15: _op_claim,
}


class HypervisorServer:
    """Answers hypercalls; each connection's one after the other.

    Args:
        machine: What they act on.
        path: Where the socket is made.
    """

    def __init__(self, machine: Machine, path: Path) -> None:
        self._machine = machine
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to take callers.

        Raises:
            OSError: The socket can't be made.
        """
        self._listener = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
        )
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        self._own(self._accept())

    async def stop(self) -> None:
        """Drop all callers and remove the socket."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            self._own(self._serve(sock))

    async def _serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with sock:
            sock.setblocking(False)
            try:
                while len(data := await loop.sock_recv(sock, 4096)) == REQUEST.size:
                    if (channel := self._to_bind(data)) is not None:
                        _send(sock, _pack(0, 0, [TOOLSTACK_PORT]), [])
                        await channel.serve(sock)
                        return
                    _send(sock, *await self._answer(data))
            except OSError:
                return  # the caller is gone, or does not read its replies

    def _to_bind(self, data: bytes) -> SuspendChannel | None:
        """Give the channel that a request binds, if it does and can."""
        op, domid, port, *_ = REQUEST.unpack(data)
        domain = self._machine.domains.get(domid)
        if op != OP_BIND or domain is None or port != GUEST_PORT:
            return None
        channel = domain.suspend_channel
        return channel if channel is not None and not channel.bound else None

    async def _answer(self, data: bytes) -> tuple[bytes, list[int]]:
        op, domid, *args = REQUEST.unpack(data)
        try:
            values, fds = await self._operate(op, domid, tuple(args))
        except HypercallError as exc:
            return _pack(-1, exc.number, []), []
        return _pack(0, 0, values), fds

    async def _operate(self, op: int, domid: int, args: tuple[int, ...]) -> Result:
        if op == OP_LIST:
            return domain_values(self._next_domain(args[0])), []
        if op == OP_MEMORY:
            return [self._machine.memory.free()], []
        if op not in OPERATIONS:
            raise HypercallError(errno.ENOSYS)
        domain = self._machine.domains.get(domid)
        if domain is None:
            raise HypercallError(errno.ESRCH)
        return await OPERATIONS[op](self._machine, domain, args)

    def _next_domain(self, first: int) -> Domain:
        """Give the domain with the lowest number from ``first`` on."""
        numbers = [domid for domid in self._machine.domains if domid >= first]
        if not numbers:
            raise HypercallError(errno.ENOENT)
        return self._machine.domains[min(numbers)]


def _pack(retval: int, number: int, values: list[int]) -> bytes:
    padding = [0] * (_VALUES - len(values))
    return REPLY.pack(retval, number, *values, *padding)


def _send(sock: socket.socket, reply: bytes, fds: list[int]) -> None:
    """Send a reply; it fits, as a caller has one request under way at a time."""
    rights = array.array("i", fds)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if fds else []
    sock.sendmsg([reply], ancillary)
