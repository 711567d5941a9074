"""A host's directory: one host in it at a time, and nothing left when that is gone.

``host.lock`` is held by flock while the host lives, so it is free the moment a host
dies, however it dies. ``host.json`` says who the host is and which guest processes it
has; the next host in the directory ends them, should they have outlived theirs.
"""

import contextlib
import fcntl
import json
import os
import signal
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from libxlpy.backend import default_host
from libxlpy.errors import BackendError, reason_of
from libxlpy.folders import OTHERS_WRITE, NotOursAlone, check_alone
from libxlpy.journal.folder import Folder
from libxlpy.journal.identity import Identity, boot_id
from libxlpy.journal.reports import CrashReports
from libxlpy.simxen.errors import SimxenError
from libxlpy_protocol.json_text import JsonError, parse_object

LOCK = "host.lock"
LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
RECORD = "host.json"
HYPERVISOR_SOCKET = "hypervisor.sock"
XENSTORE_SOCKET = "xenstored.sock"
CONTROL_SOCKET = "control.sock"
#: What the toolstacks write down of their jobs; it goes with the domains.
JOBS, REPORTS = "jobs", "reports"
#: Bytes of one control request; a domain's config is in it.
MAX_REQUEST = 1 << 20
#: What a host in the background tells its starter once all sockets answer.
READY = b"ready\n"
#: Files that come and go with domains; each ends with a domid.
PER_DOMAIN = ("qmp-libxl-", "qemu-save.", "qemu-resume.")
#: The longest name made in a directory, and what a unix socket's path may have.
_LONGEST_NAME = len("qmp-libxl-") + 10
_MAX_SOCKET_PATH = 107


def default_directory(name: str = "default") -> Path:
    """Give the directory of a host by its name."""
    return default_host().with_name(name)


class HostDirectory:
    """The directory of one host, locked while the host lives.

    Args:
        path: Absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd = -1
        self._made = False

    def __truediv__(self, name: str) -> Path:
        """Give the path of a file in it."""
        return self.path / name

    def acquire(self) -> None:
        """Make it ours: create, lock, and clean what a dead host left.

        Raises:
            SimxenError: Another host lives in it, it can't be made, or others could
                write to it.
        """
        length = len(os.fsencode(self.path)) + 1 + _LONGEST_NAME
        if length > _MAX_SOCKET_PATH:
            raise SimxenError(
                f"{self.path} is {length - _MAX_SOCKET_PATH} bytes too long for unix "
                "sockets in it: choose a shorter directory"
            )
        refuse_others(self.path)
        try:
            self._make()
            self._lock()
        except OSError as exc:
            raise SimxenError(f"can't use {self.path}: {reason_of(exc)}") from exc
        self._made = self._made or bool(recorded(self.path).get("made"))
        self._clean()

    def record(self, guests: Iterable[int]) -> None:
        """Write down who we are and which guest processes we have."""
        living = []
        for pid in guests:
            with contextlib.suppress(ProcessLookupError):
                living.append(_text_of(Identity.of(pid)))
        new = self / f"{RECORD}.new"
        record = {**_text_of(Identity.own()), "made": self._made, "guests": living}
        with open(os.open(new, WRITE, 0o600), "w") as file:  # noqa: PTH123 - flags
            file.write(json.dumps(record) + "\n")
        new.replace(self / RECORD)

    def release(self) -> None:
        """Remove all that is ours, and the directory if we made it."""
        self._clean()
        Folder(self / JOBS).clear()
        CrashReports(self / REPORTS).clear()
        (self / LOCK).unlink(missing_ok=True)
        os.close(self._lock_fd)
        if self._made:
            with contextlib.suppress(OSError):  # something else is in it
                self.path.rmdir()

    # ---------------------------------------------------------------- private

    def _make(self) -> None:
        if not self.path.exists():
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._made = True
        status = self.path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise SimxenError(f"{self.path} is not a directory: choose another")
        if status.st_uid != os.geteuid():
            text = f"belongs to user {status.st_uid}: choose another"
            raise SimxenError(f"{self.path} {text}")
        refuse_others(self.path)

    def _lock(self) -> None:
        """Take the lock; a file that was removed meanwhile is no lock."""
        path = self / LOCK
        while True:
            fd = os.open(path, LOCK_FLAGS, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise SimxenError(
                    f"a simxen host already runs in {self.path}: stop it with "
                    "`xlpy sim stop` or choose another directory"
                ) from None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.stat()):
                    self._lock_fd = fd
                    return
            os.close(fd)

    def _clean(self) -> None:
        """End recorded guests and remove files; only ever what a host makes."""
        guests = recorded(self.path).get("guests", [])
        for guest in guests if isinstance(guests, list) else []:
            identity = _identity(guest)
            if identity is not None:
                identity.signal(signal.SIGKILL)
        for path in self._own_files():
            path.unlink(missing_ok=True)

    def _own_files(self) -> Iterator[Path]:
        for name in (HYPERVISOR_SOCKET, XENSTORE_SOCKET, CONTROL_SOCKET):
            yield self / name
        for prefix in PER_DOMAIN:
            for path in self.path.glob(f"{prefix}*"):
                if path.name.removeprefix(prefix).isdigit():
                    yield path
        yield self / RECORD
        yield self / f"{RECORD}.new"


def refuse_others(path: Path) -> None:
    """See that nobody else could have put anything into a host's directory.

    Raises:
        SimxenError: Another user could, or nobody can tell; it was not looked at.
    """
    try:
        check_alone(path)
    except (NotOursAlone, BackendError) as exc:
        raise SimxenError(f"can't use the simxen host in {path}: {exc}") from exc


def recorded(path: Path) -> dict[str, Any]:
    """Give what a host of ours wrote down in a directory; empty if there is nothing."""
    try:
        with open(os.open(path / RECORD, READ), "rb") as file:  # noqa: PTH123 - flags
            status = os.fstat(file.fileno())
            ours = status.st_uid == os.geteuid() and not status.st_mode & OTHERS_WRITE
            if not ours or not stat.S_ISREG(status.st_mode):
                return {}
            return parse_object(file.read())
    except (OSError, JsonError):
        return {}


def recorded_host(path: Path) -> Identity | None:
    """Give the process that a directory's record names, alive or not."""
    return _identity(recorded(path))


def _text_of(process: Identity) -> dict[str, int]:
    """Give what is written of a process; the record does not outlive the boot."""
    return {"pid": process.pid, "start_time": process.start_time}


def _identity(record: object) -> Identity | None:
    """Read a process from a file that may be damaged."""
    if not isinstance(record, dict):
        return None
    pid, start_time = record.get("pid"), record.get("start_time")
    if type(pid) is not int or type(start_time) is not int or pid <= 0:
        return None
    return Identity(pid, start_time, boot_id())
