"""systemd as the first process of namespaces of its own, and a service under it.

It knows the units that it is given and no others: nothing of dom0's is started, cleaned
or mounted by it.
"""

import os
import socket
import subprocess
from pathlib import Path

from .support import PATIENCE, command_lines, ok, run, wait_for

SYSTEMD = "/usr/lib/systemd/systemd"
#: Every service needs these; the rig has done all that they stand for.
NOTHING = "[Unit]\nDescription=Done by the rig\n"
TARGETS = ("basic.target", "sysinit.target", "shutdown.target")
#: Its own view of the control groups, below ``$0``; and where it keeps its state: by
#: that others find out whether this machine runs systemd.
START = """
echo 0 >"$0/cgroup.procs"
mkdir -p /run/systemd
exec unshare --pid --fork --kill-child --mount --mount-proc --cgroup sh -c '
mount -t tmpfs systemd /run/systemd
umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"' sh "$@"
"""


class Systemd:
    """One systemd; a context manager."""

    def __init__(self, folder: Path, cgroups: Path) -> None:
        """Prepare it.

        Args:
            folder: For its units and its log.
            cgroups: Where its control groups are to be.
        """
        self.units = folder / "units"
        self.units.mkdir()
        self.log = folder / "systemd.log"
        self._nothing = folder / "generators"
        self._nothing.mkdir()
        self._group = cgroups / "systemd"
        self._group.mkdir()
        for name in TARGETS:
            self.add(name, NOTHING)

    def add(self, name: str, text: str) -> None:
        """Give it a unit, or a part of one."""
        path = self.units / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def __enter__(self) -> "Systemd":
        own = {
            "container": "xen-rig",
            "SYSTEMD_UNIT_PATH": str(self.units),
            "SYSTEMD_GENERATOR_PATH": str(self._nothing),
        }
        options = ("--system", "--unit=basic.target", "--show-status=no")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", START, self._group, SYSTEMD, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **own, "SYSTEMD_LOG_TARGET": "console"},
            )
        wait_for("systemd", lambda: self._started() or None)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # and it, and all that it runs
        self._process.wait()
        print(self.log.read_text(errors="replace"))
        groups = [path for path in self._group.rglob("*") if path.is_dir()]
        for path in [*sorted(groups, reverse=True), self._group]:
            wait_for(f"{path} to be empty", lambda path=path: _removed(path) or None)

    def _started(self) -> bool:
        assert self._process.poll() is None, self.log.read_text(errors="replace")
        return self.pid() > 0 and self.systemctl("is-system-running") == "running\n"

    def pid(self) -> int:
        """Give its number in dom0; 0 before it is there."""
        first = (pid for pid, words in command_lines() if words[0] == SYSTEMD)
        return next(first, 0)

    def systemctl(self, *arguments: str) -> str:
        """Ask it, or have it do something; give what it says."""
        inside = ("nsenter", f"--target={self.pid()}", "--pid", "--mount", "--cgroup")
        return run(*inside, "systemctl", *arguments).stdout


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


class Service:
    """A service of it."""

    def __init__(self, systemd: Systemd, name: str) -> None:
        self._systemd = systemd
        self._name = name

    def start(self) -> None:
        """Start it; returns when it has said that it is ready."""
        self._systemd.systemctl("start", self._name)
        assert self.show("ActiveState") == "active"

    def stop(self) -> None:
        """Stop it, which must go well."""
        self._systemd.systemctl("stop", self._name)
        assert (self.show("ActiveState"), self.show("Result")) == (
            "inactive",
            "success",
        )

    def show(self, name: str) -> str:
        """Give a property."""
        said = self._systemd.systemctl("show", "--value", "-p", name, self._name)
        return said.rstrip("\n")

    def until(self, name: str, part: str) -> None:
        """Wait until a property has something in it."""
        wait_for(f"{name} {part}", lambda: part in self.show(name) or None)

    def kill(self) -> None:
        """Kill its main process, wait until it has been started again."""
        restarts = int(self.show("NRestarts"))
        ok(
            *("nsenter", f"--target={self._systemd.pid()}", "--pid", "--mount"),
            *("kill", "-KILL", self.show("MainPID")),
        )
        self.until("NRestarts", str(restarts + 1))
        self.until("ActiveState", "active")


def ask(path: Path, line: str) -> socket.socket:
    """Send a line to a unix socket; the answer comes on it."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(str(path))
    sock.sendall(f"{line}\n".encode())
    return sock


def answer(sock: socket.socket) -> str:
    """Give the answer, "" if there is none."""
    with sock.makefile() as file:
        return file.readline().rstrip("\n")
