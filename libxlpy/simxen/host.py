"""The life of a host: its directory, its sockets, its domains, its end."""

import asyncio
import contextlib
import errno
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

from libxlpy.simxen.agent import Agent
from libxlpy.simxen.control import ControlServer
from libxlpy.simxen.device_model import MAX_STATE, DeviceModel
from libxlpy.simxen.directory import (
    CONTROL_SOCKET,
    HYPERVISOR_SOCKET,
    PER_DOMAIN,
    XENSTORE_SOCKET,
    HostDirectory,
)
from libxlpy.simxen.domain import Domain
from libxlpy.simxen.domain_keys import (
    name_of,
    remove_keys,
    rename,
    write_device_model_keys,
    write_keys,
)
from libxlpy.simxen.errors import HypercallError, SimxenError
from libxlpy.simxen.facts import domain_facts
from libxlpy.simxen.host_memory import HostMemory
from libxlpy.simxen.hypervisor import HypervisorServer
from libxlpy.simxen.qmp_server import QmpServer
from libxlpy.simxen.spec import DomainSpec
from libxlpy.simxen.xenstored.server import XenstoreServer
from libxlpy.simxen.xenstored.store import Store
from libxlpy_protocol.xen import DOMID_MAX


class Host:
    """All that one simxen host has.

    Args:
        directory: Its directory, acquired.
        memory_mib: What its domains may have; None for what the machine has.
    """

    def __init__(self, directory: HostDirectory, memory_mib: int | None = None) -> None:
        self._directory = directory
        self.store = Store()
        self.domains: dict[int, Domain] = {}
        self.memory = HostMemory(self.domains, memory_mib)
        self._agents: dict[int, Agent] = {}
        self._device_models: dict[int, DeviceModel] = {}
        self._qmp_servers: dict[int, QmpServer] = {}
        self._next_domid = 1
        self._stopped = asyncio.Event()
        self._xenstore = XenstoreServer(self.store, directory / XENSTORE_SOCKET)
        self._hypervisor = HypervisorServer(self, directory / HYPERVISOR_SOCKET)
        self._control = ControlServer(self, directory / CONTROL_SOCKET)

    async def start(self) -> None:
        """Open the sockets; the control socket last, since it says "ready".

        Raises:
            OSError: A socket can't be made.
        """
        self.store.put("/local/domain/0/name", "Domain-0")
        self.store.put("/local/domain/0/domid", "0")
        self._record()
        await self._xenstore.start()
        self._hypervisor.start()
        await self._control.start()

    def stop_soon(self) -> None:
        """Let :meth:`run` return."""
        self._stopped.set()

    async def run(self) -> None:
        """Serve until told to stop, then end all domains and close the sockets."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop_soon)
        await self._stopped.wait()
        await self._control.stop()
        for domid in tuple(self.domains):
            with contextlib.suppress(HypercallError):
                await self.destroy(domid)
        await self._hypervisor.stop()
        await self._xenstore.stop()

    # ---------------------------------------------------------------- domains

    async def create(self, spec: DomainSpec) -> Domain:
        """Build a domain; it runs when this returns, unless paused or to be restored.

        Raises:
            SimxenError: The name is taken, or there is no memory or number left.
        """
        self._check_name(spec.name)
        uuid = self._free_uuid(spec)
        self.memory.check(spec)
        domid = self._next_domid if spec.domid is None else self._free(spec.domid)
        if domid > DOMID_MAX:
            raise SimxenError("all domids were used: stop this host and start another")
        self._next_domid = max(self._next_domid, domid + 1)
        domain = Domain(domid, spec.replace(uuid=uuid), self._shut_down)
        self.domains[domid] = domain
        try:
            write_keys(self.store, domain)
            if not spec.restore:
                await self._start(domain)
        except BaseException:
            with contextlib.suppress(HypercallError):  # destroyed by somebody else
                await self.destroy(domid)
            raise
        return domain

    async def launch(self, domid: int, *, name: str | None, paused: bool) -> Domain:
        """Let a restored domain's guest (and device model) begin.

        Raises:
            SimxenError: Nothing was restored into it, or it was launched already.
        """
        domain = self.domain(domid)
        if domain.launched is not False:
            raise SimxenError(
                f"domain {domid} is not waiting for a launch: only one that was "
                "created with restore is, and only once"
            )
        if not domain.valid:
            raise SimxenError(
                f"domain {domid} holds no guest: restore into it, then launch"
            )
        if name is not None and name != name_of(self.store, domain):
            self._check_name(name)
            rename(self.store, domain, name)
        try:
            await self._start(domain)
        except BaseException:
            await self._stop_parts(domid)
            domain.launched = False
            raise
        if not paused:
            await domain.unpause()
        return domain

    async def destroy(self, domid: int) -> None:
        """End a domain: guest, device model, nodes, files.

        Raises:
            HypercallError: ESRCH, there is none or it is being destroyed.
        """
        domain = self.domains.get(domid)
        if domain is None or domain.dying:
            raise HypercallError(errno.ESRCH)
        domain.dying = True
        await self._stop_parts(domid)
        await domain.destroy()
        del self.domains[domid]
        remove_keys(self.store, domain)
        for prefix in PER_DOMAIN:
            (self._directory / f"{prefix}{domid}").unlink(missing_ok=True)
        self._record()

    async def misbehave(self, fault: str) -> None:
        """Have the xenstored misbehave; "" ends that."""
        await self._xenstore.misbehave(fault)

    def domain(self, domid: int) -> Domain:
        """Give a domain that exists.

        Raises:
            SimxenError: There is none with that number.
        """
        domain = self.domains.get(domid)
        if domain is None or domain.dying:
            raise SimxenError(f"no domain {domid} here: `xlpy sim list` shows them")
        return domain

    def facts(self, domain: Domain) -> dict[str, Any]:
        """Give all that is known of a domain."""
        device_model = self._device_models.get(domain.domid)
        return {
            **domain_facts(domain, name_of(self.store, domain)),
            "qemu_logdirty": device_model.dirty_log if device_model else None,
            "qmp_running": device_model.running if device_model else None,
        }

    # ---------------------------------------------------------------- private

    async def _start(self, domain: Domain) -> None:
        domid = domain.domid
        domain.launched = None
        if domain.has_device_model:
            self._start_device_model(domain)
        await domain.start_guest()
        domain.launched = True
        self._record()
        if domain.spec.pv_drivers:
            self._agents[domid] = Agent(domain, self.store)

    async def _stop_parts(self, domid: int) -> None:
        """Stop what acts for a domain beside its guest process."""
        for owner in (self._agents, self._qmp_servers, self._device_models):
            part: Agent | QmpServer | DeviceModel | None = owner.pop(domid, None)
            if part is not None:
                await part.stop()

    def _start_device_model(self, domain: Domain) -> None:
        domid = domain.domid
        device_model = DeviceModel(domain)
        self._device_models[domid] = device_model
        if domain.spec.restore:
            device_model.load(self._take_state(domid))
        path = self._directory / f"qmp-libxl-{domid}"
        self._qmp_servers[domid] = QmpServer(device_model, domain.faults, path)
        write_device_model_keys(self.store, domid)

    def _take_state(self, domid: int) -> bytes:
        """Read and remove the state that a restore left for the device model."""
        path = self._directory / f"qemu-resume.{domid}"
        try:
            with path.open("rb") as file:
                state = file.read(MAX_STATE + 1)
        except FileNotFoundError:
            raise SimxenError(
                f"{path} is missing: restore the device model's state before a launch"
            ) from None
        path.unlink()
        return state

    def _shut_down(self, domain: Domain) -> None:
        self.store.domain_shut_down(domain.domid)
        self._record()

    def _free(self, domid: int) -> int:
        if domid in self.domains:
            raise SimxenError(f"domid {domid} is in use: destroy that domain first")
        return domid

    def _check_name(self, name: str) -> None:
        for other in self.domains.values():
            if name_of(self.store, other) == name:
                raise SimxenError(
                    f"name {name!r} is taken by domain {other.domid}: choose another"
                )

    def _free_uuid(self, spec: DomainSpec) -> UUID | None:
        """Give the uuid of a new domain; None for one to be made up, as for a copy."""
        for other in self.domains.values():
            if other.uuid == spec.uuid and not spec.keep_uuid:
                if spec.restore:
                    return None
                raise SimxenError(
                    f"uuid {spec.uuid} is taken by domain {other.domid}: destroy it "
                    "first or leave the uuid out"
                )
        return spec.uuid

    def _record(self) -> None:
        guests = [each.guest for each in self.domains.values()]
        self._directory.record(guest.pid for guest in guests if guest is not None)


async def serve(
    path: Path,
    ready: asyncio.Future[None] | None = None,
    memory_mib: int | None = None,
) -> None:
    """Run a host in a directory until it is told to stop.

    Args:
        path: Its directory, absolute.
        ready: Done once all sockets answer.
        memory_mib: What its domains may have; None for what the machine has.

    Raises:
        SimxenError: The directory can't be used.
    """
    directory = HostDirectory(path)
    directory.acquire()
    try:
        host = Host(directory, memory_mib)
        await host.start()
        if ready is not None:
            ready.set_result(None)
        await host.run()
    finally:
        directory.release()
