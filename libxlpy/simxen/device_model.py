"""The device model of an HVM domain: what qemu does to a guest, and its saved state.

While it runs it writes guest memory as a disk's or network card's DMA would: pages at
the end of the memory that the guest itself never writes. It logs these only while
told to (``xen-set-global-dirty-log``): no log-dirty mode of the hypervisor sees them.

Like qemu it goes on after the guest has suspended, until it is told ``stop``.
"""

import asyncio
import hashlib
import json
import os
import struct
from typing import Any

from libxlpy.simxen.domain import Domain
from libxlpy.simxen.errors import SimxenError
from libxlpy.simxen.library import simxen_library
from libxlpy.simxen.vcpu import DEVICE_MODEL_PAGES
from libxlpy_protocol.json_text import JsonError, parse
from libxlpy_protocol.xen import SHUTDOWN_SUSPEND

#: Seconds between two writes, and pages in each.
WRITE_INTERVAL = 0.05
WRITE_PAGES = 2

#: A saved state: magic and version as qemu's own files begin, JSON, then device state.
STATE_MAGIC = b"QEVM"
STATE_VERSION = 3
_STATE_HEADER = struct.Struct(">4sIII")
DEVICE_STATE_BYTES = 128 << 10
#: No state is larger; a reader allocates no more.
MAX_STATE = 1 << 20


class DeviceModel:
    """What stands for the qemu of one domain.

    Args:
        domain: An HVM domain.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self.running = True
        self.dirty_log = False
        self.writes = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End it; it writes no more."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL)
            if self._may_write():
                self._write()

    def _may_write(self) -> bool:
        domain = self._domain
        # A suspended guest's transfers may still come in; a dead one has none.
        gone = domain.shutdown_reason not in (None, SHUTDOWN_SUSPEND)
        held = domain.pauses or domain.dying or gone
        return self.running and domain.valid and not held

    def _write(self) -> None:
        domain = self._domain
        nr_pages = domain.spec.nr_pages
        for _ in range(WRITE_PAGES):
            slot = self.writes % DEVICE_MODEL_PAGES
            simxen_library().dma_write(
                domain.memory.address,
                domain.vcpu.address,
                nr_pages,
                nr_pages - DEVICE_MODEL_PAGES + slot,
                log=self.dirty_log,
            )
            self.writes += 1

    # ------------------------------------------------------------ saved state

    def save(self) -> bytes:
        """Give the state that another device model can go on from."""
        head = json.dumps(
            {
                "uuid": str(self._domain.uuid),
                "memory_mib": self._domain.spec.memory_mib,
                "writes": self.writes,
            }
        ).encode()
        body = head + _device_state(head)
        checksum = hashlib.sha256(body).digest()
        start = _STATE_HEADER.pack(STATE_MAGIC, STATE_VERSION, len(head), len(body))
        return start + body + checksum

    def load(self, state: bytes) -> None:
        """Go on from a saved state.

        Raises:
            SimxenError: It is none, damaged, or of a domain of another size.
        """
        saved = read_state(state)
        if saved["memory_mib"] != self._domain.spec.memory_mib:
            raise SimxenError(
                f"device model state is of a domain with {saved['memory_mib']} MiB, "
                f"this one has {self._domain.spec.memory_mib} MiB"
            )
        self.writes = saved["writes"]


def read_state(state: bytes) -> dict[str, Any]:
    """Check a saved state and give what its JSON part says.

    Raises:
        SimxenError: It is none, or damaged.
    """
    start = _STATE_HEADER.size
    if len(state) < start:
        raise SimxenError("device model state is cut short")
    magic, version, head, body = _STATE_HEADER.unpack_from(state)
    if (magic, version) != (STATE_MAGIC, STATE_VERSION):
        raise SimxenError("device model state has the wrong magic or version")
    content, checksum = state[start : start + body], state[start + body :]
    if hashlib.sha256(content).digest() != checksum:
        raise SimxenError("device model state is damaged")
    try:
        saved = parse(content[:head])
        if all(type(saved[name]) is int for name in ("memory_mib", "writes")):
            return dict(saved)
    except (JsonError, KeyError, TypeError):
        pass  # as if it were there and no number
    raise SimxenError("device model state does not say what it must")


def write_state(fd: int, state: bytes) -> None:
    """Write a whole state.

    Raises:
        OSError: No room, or the descriptor is not writable.
    """
    left = memoryview(state)
    while left:
        left = left[os.write(fd, left) :]


def _device_state(seed: bytes) -> bytes:
    """Give bytes that stand for the devices' registers; not compressible."""
    return hashlib.shake_256(seed).digest(DEVICE_STATE_BYTES)
