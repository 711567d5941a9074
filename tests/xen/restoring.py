"""`xlpy restore` under way, followed event by event; and what monitors there are."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from .support import PATIENCE, nodes, ok

BACKENDS = "/local/domain/0/backend"
#: Of a device in xenstore: what it is, not how far it is.
FACTS = frozenset({"params", "mode", "dev", "device-type", "mac", "script", "handle"})


class Restoring:
    """A running `xlpy restore`. A context manager."""

    def __init__(self, *arguments: str | Path) -> None:
        self.events: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            ["xlpy", "restore", "--json", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Restoring":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def until_phase(self, name: str) -> None:
        """Wait until it enters a phase."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if (self.events[-1].get("event"), self.events[-1].get("name")) == (
                "phase",
                name,
            ):
                return
        raise AssertionError(f"never in {name}: {self.events}")

    @property
    def helper(self) -> int:
        """Pid of the build helper."""
        [pid] = [e["helper_pid"] for e in self.events if "helper_pid" in e]
        assert isinstance(pid, int)
        return pid

    def failure(self, status: int = 1) -> str:
        """Wait for its end, a failure; return what it said of it."""
        _, said = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == status, said
        return said.strip()


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


def devices(domid: int) -> dict[str, str]:
    """Return what dom0's backends know of a domain's disks and interfaces."""
    found = {}
    for kind in ("qdisk", "vif"):
        for device in nodes(f"{BACKENDS}/{kind}/{domid}"):
            path = f"{BACKENDS}/{kind}/{domid}/{device}"
            for fact in nodes(path) & FACTS:
                found[f"{kind}/{device}/{fact}"] = ok("xenstore-read", f"{path}/{fact}")
    return found


def domid_of(name: str) -> int:
    return int(ok("xl", "domid", name))


def monitors() -> list[Path]:
    """Return the processes that look after domains."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"libxlpy_helper.monitor" in path.read_bytes():
                found.append(path)
        except OSError:
            continue  # it ended while we looked
    return found


def have_interfaces() -> None:
    """Load the driver of the interfaces' dom0 end; without udev nobody does."""
    ok("modprobe", "xen-netback")
