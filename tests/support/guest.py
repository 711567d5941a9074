"""One domain of a test, asked and told by blocking requests to its host."""

import asyncio
import itertools
import json
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

from libxlpy import BackendError, Context, Job, SaveResult, SuspendFlags
from libxlpy.journal import Folder, Locked
from libxlpy.simxen.client import request
from libxlpy_protocol.xenstore_wire import Packet, PacketBuffer, XsType, encode

NUMBERS = itertools.count()
#: Seconds for what must come; a bound, not a measure.
PATIENCE = 20.0


class Guest:
    """A domain; destroyed at the end of a ``with``."""

    def __init__(self, host: Path, kind: str, **fields: Any) -> None:
        self.host = host
        self.kind = kind
        self.name = f"{kind}-{next(NUMBERS)}"
        fields = {"memory_mib": 8, "rate": 2000, **fields}
        answer = request(host, "create", name=self.name, type=kind, **fields)
        self.domid: int = answer["domid"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.domid in {
            each["domid"] for each in request(self.host, "list")["domains"]
        }:
            self.destroy()
        self._forget()

    def _forget(self) -> None:
        """Remove what jobs have left to be recovered: the host is for others, too."""
        folder = Folder(self.host / "jobs")
        with suppress(Locked, BackendError), folder.lock(self.domid) as lock:
            lock.forget()

    def facts(self) -> dict[str, Any]:
        return request(self.host, "info", domid=self.domid)

    def verify(self) -> dict[str, Any]:
        return request(self.host, "verify", domid=self.domid)

    def misbehave(self, fault: str, **fields: Any) -> None:
        request(self.host, "misbehave", domid=self.domid, fault=fault, **fields)

    def destroy(self) -> None:
        request(self.host, "destroy", domid=self.domid)

    def kill_host(self) -> None:
        """End its host without warning."""
        record = json.loads((self.host / "host.json").read_text())
        process = psutil.Process(record["pid"])
        process.kill()
        psutil.wait_procs([process], timeout=PATIENCE)

    def control(self) -> bytes:
        """Give what ``control/shutdown`` holds."""
        return self._xenstore(XsType.READ, "control/shutdown")

    def write_node(self, node: str, value: bytes) -> None:
        """Write one of its xenstore nodes, as dom0."""
        self._xenstore(XsType.WRITE, node, value)

    def _xenstore(self, kind: XsType, node: str, value: bytes = b"") -> bytes:
        path = f"/local/domain/{self.domid}/{node}\0".encode()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.host / "xenstored.sock"))
            sock.sendall(encode(Packet(kind, 1, 0, path + value)))
            buffer = PacketBuffer()
            while (packet := buffer.next_packet()) is None:
                buffer.feed(sock.recv(4096))
        assert packet.type == kind, packet
        return packet.payload

    def assert_untouched(self) -> None:
        """Everything is as before the save that failed."""
        facts = self.facts()
        assert not facts["shutdown"]
        assert facts["running"]
        assert not facts["paused"]
        assert facts["logdirty"] is False
        assert self.control() == b""
        if self.kind == "hvm":
            assert facts["qemu_logdirty"] is False
            assert facts["qmp_running"] is True
        assert not (self.host / f"qemu-save.{self.domid}").exists()
        self.assert_working()

    def assert_working(self) -> None:
        """Its process really writes."""
        before = self.facts()["counter"]
        end = time.monotonic() + PATIENCE
        while self.facts()["counter"] == before:
            assert time.monotonic() < end, "guest does not write"
        assert self.verify()["match"]


async def aside(function: Any, *arguments: Any) -> Any:
    """Do something blocking away from the loop."""
    return await asyncio.to_thread(function, *arguments)


async def undone(ctx: Context, guest: Guest) -> Job[SaveResult]:
    """Save a guest live, take no result, have it undone; give the job."""
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(guest.domid, null.fileno(), SuspendFlags.LIVE)
        await job.ended()
        await job.close()
    await aside(guest.assert_untouched)
    return job


async def saved_and_resumed(ctx: Context, guest: Guest) -> Job[SaveResult]:
    """Save a guest live to nowhere and let it run on; give the job, which has ended."""
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(guest.domid, null.fileno(), SuspendFlags.LIVE)
        await job
    await ctx.domain_resume(guest.domid)
    return job


async def reach(job: Job[Any], phase: str) -> None:
    """Wait until a job enters a phase."""
    async for event in job.events():
        if getattr(event, "name", "") == phase:
            return
    raise AssertionError(f"ended before {phase}")


def until_asked(guest: Guest) -> None:
    """Wait until a guest is asked to suspend."""
    while guest.control() != b"suspend":
        pass
