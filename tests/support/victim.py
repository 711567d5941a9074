"""The domain that the faults happen to, and the promise, asked of its host."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libxlpy.simxen.client import request
from libxlpy_protocol.xenstore_wire import Packet, PacketBuffer, XsType, encode

#: Seconds for what must happen soon; an upper bound, not a measure.
SOON = 15.0
LOOK_EVERY = 0.02
#: Few batches: every message of the trace can be a case of its own.
MEMORY_MIB = 4

#: Facts of a domain that nothing has happened to; it is an error if one is missing.
HARMLESS = {
    "running": True,
    "paused": False,
    "shutdown": False,
    "logdirty": False,
    "tracker": "off",
    "control/shutdown": b"",
    "state files": [],
}
OF_KIND: dict[str, dict[str, Any]] = {
    "pv": {"qemu_logdirty": None, "qmp_running": None},
    "hvm": {"qemu_logdirty": False, "qmp_running": True},
}


@dataclass(frozen=True)
class Victim:
    """A domain on an embedded host."""

    directory: Path
    domid: int
    kind: str

    def info(self) -> dict[str, Any]:
        """Ask the host for its facts."""
        return request(self.directory, "info", domid=self.domid)

    def trouble(self) -> str:
        """Give what is not as it must be after a failed job, "" if all is well."""
        facts = self.info()
        facts["control/shutdown"] = self._asked_to()
        facts["state files"] = [path.name for path in self.directory.glob("qemu-save*")]
        return ", ".join(
            f"{name}={facts[name]}"
            for name, expected in (HARMLESS | OF_KIND[self.kind]).items()
            if facts[name] != expected
        )

    def _asked_to(self) -> bytes:
        """Give what the guest is asked for: ``control/shutdown`` in xenstore."""
        path = f"/local/domain/{self.domid}/control/shutdown\0".encode()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(SOON)
            sock.connect(str(self.directory / "xenstored.sock"))
            sock.sendall(encode(Packet(XsType.READ, 1, 0, path)))
            buffer = PacketBuffer()
            while (packet := buffer.next_packet()) is None:
                buffer.feed(sock.recv(4096))
        return packet.payload

    def assert_unharmed(self, context: str) -> None:
        """Check that the guest runs, really, and that nothing logs dirty pages."""
        until = time.monotonic() + SOON
        while (trouble := self.trouble()) and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
        assert not trouble, f"{context}: {trouble}"
        before = counter = self.info()["counter"]
        while counter == before and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
            counter = self.info()["counter"]
        assert counter > before, f"{context}: the guest says it runs but does not"
