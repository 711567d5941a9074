"""What restores need: a pipe that gets stuck, devices, monitors."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .support import PATIENCE, Guest, domid_of, nodes, ok, wait_for

#: Xen: public/io/xenbus.h, XenbusStateConnected.
CONNECTED = "4"
BACKENDS = "/local/domain/0/backend"
#: Of a device in xenstore: what it is, not how far it is.
FACTS = frozenset({"params", "mode", "dev", "device-type", "mac", "script", "handle"})


class StuckPipe:
    """A pipe that gives half of a file and then nothing. A context manager."""

    def __init__(self, file: Path) -> None:
        os.truncate(file, file.stat().st_size // 2)
        self.path = file.with_name("pipe")
        os.mkfifo(self.path)
        self._keep = os.open(self.path, os.O_RDWR)
        shell = ["sh", "-c", f"cat {file} >{self.path}"]
        self._feeder = subprocess.Popen(shell, stdin=subprocess.DEVNULL)

    def __enter__(self) -> "StuckPipe":
        return self

    def __exit__(self, *_: object) -> None:
        self._feeder.kill()
        self._feeder.wait()
        os.close(self._keep)
        self.path.unlink()

    def wait_read(self) -> None:
        """Wait until all was read, and more is waited for."""
        assert self._feeder.wait(PATIENCE) == 0


@contextmanager
def fed(file: Path) -> Iterator[Path]:
    """Give a pipe that gets a file and then ends."""
    path = file.with_name("pipe")
    os.mkfifo(path)
    shell = ["sh", "-c", f"exec cat {file} >{path}"]
    feeder = subprocess.Popen(shell, stdin=subprocess.DEVNULL)
    try:
        yield path
    finally:
        feeder.kill()
        feeder.wait(PATIENCE)
        path.unlink()


def devices(domid: int) -> dict[str, str]:
    """Return what dom0's backends know of a domain's disks and interfaces."""
    found = {}
    for kind in ("qdisk", "vif"):
        for device in nodes(f"{BACKENDS}/{kind}/{domid}"):
            path = f"{BACKENDS}/{kind}/{domid}/{device}"
            for fact in nodes(path) & FACTS:
                found[f"{kind}/{device}/{fact}"] = ok("xenstore-read", f"{path}/{fact}")
    return found


def monitors() -> list[Path]:
    """Return the processes that look after domains."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"libxlpy_helper.builder.monitor" in path.read_bytes():
                found.append(path)
        except OSError:
            continue  # it ended while we looked
    return found


def have_interfaces() -> None:
    """Load the driver of the interfaces' dom0 end; without udev nobody does."""
    ok("modprobe", "xen-netback")


def connect_interface(guest: Guest) -> None:
    """Have a restored guest see an interface that it had not when it was saved.

    Linux looks for what has changed below a device, not for what has come meanwhile.
    """
    domid = domid_of(guest)
    ok("xenstore-write", f"/local/domain/{domid}/device/vif/0/state", "1")
    backend = f"/local/domain/0/backend/vif/{domid}/0/state"
    wait_for(
        "the interface to be connected",
        lambda: ok("xenstore-read", backend).strip() == CONNECTED or None,
    )
