"""Proof that the process that runs a job lives.

``7.life`` has a record lock of the process whose job is in ``7.json``. Such a lock goes
with the process, however it ends; it is not inherited by those that the process forks,
and it is seen from each PID namespace, where the number of the process may mean another
one or none.

A record lock goes, too, when its process closes the file, by whatever descriptor. So
our own locks are known by inode and never looked at through the file.

The file also holds what its process lets others know of the job, see ``told``.
"""

import contextlib
import fcntl
import os
import stat
import struct
import threading
from pathlib import Path

#: Of a file that is not ours alone, others could keep the lock.
FILE_MODE = 0o600
MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
LOOK = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
#: Bytes of one that are read.
TOLD_MAX = 4096
#: Linux's struct flock on 64 bits: type, whence, start, length, pid.
FLOCK = struct.Struct("hhqqi4x")


class _Ours:
    """Files that we hold, by inode, and what is in them; one thread at a time."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.inodes: dict[tuple[int, int], bytes] = {}

    def forked(self) -> None:
        """In a child: none is its own, and no thread of the parent's has the guard."""
        self.guard = threading.Lock()
        self.inodes.clear()


_ours = _Ours()
os.register_at_fork(after_in_child=_ours.forked)


class Life:
    """Our own proof of life for one job; held until it is closed or we are dead."""

    def __init__(self, path: Path) -> None:
        """Make the file anew; whoever had one of that name has it no more.

        Args:
            path: The caller holds the lock of its domain.

        Raises:
            OSError: It can't be made or locked.
        """
        with _ours.guard:
            path.unlink(missing_ok=True)
            self._fd = os.open(path, MAKE, FILE_MODE)
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                os.close(self._fd)
                raise
            self._key = _key(os.fstat(self._fd))
            _ours.inodes[self._key] = b""

    def tell(self, data: bytes) -> None:
        """Let others read something; it takes the place of what they could before."""
        with _ours.guard, contextlib.suppress(OSError):
            if self._fd >= 0 and self._key in _ours.inodes:  # not of a child's parent
                _ours.inodes[self._key] = data
                os.pwrite(self._fd, data, 0)

    def close(self) -> None:
        """Give it up; idempotent."""
        with _ours.guard:
            if self._fd >= 0:
                _ours.inodes.pop(self._key, None)
                os.close(self._fd)
                self._fd = -1


def is_own(path: Path) -> bool:
    """Tell whether we ourselves hold a file of life."""
    with _ours.guard, contextlib.suppress(OSError):
        return _key(path.lstat()) in _ours.inodes
    return False


def lives(path: Path) -> bool:
    """Tell whether who made a file of life lives; one that is not there is no proof.

    Raises:
        OSError: The file can't be looked at.
    """
    with _ours.guard, contextlib.suppress(FileNotFoundError):
        if _key(path.lstat()) in _ours.inodes:
            return True
        fd = os.open(path, LOOK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return False
            wanted = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            found = fcntl.fcntl(fd, fcntl.F_GETLK, wanted)
            return bool(FLOCK.unpack(found)[0] != fcntl.F_UNLCK)
        finally:
            os.close(fd)
    return False


def told(path: Path) -> bytes:
    """Give what the process that made a file of life lets others know; b"" if nothing.

    Raises:
        OSError: The file can't be read.
    """
    with _ours.guard:
        status = path.lstat()
        if _key(status) in _ours.inodes:
            return _ours.inodes[_key(status)]
        fd = os.open(path, LOOK)
        try:
            regular = stat.S_ISREG(os.fstat(fd).st_mode)
            return os.read(fd, TOLD_MAX) if regular else b""
        finally:
            os.close(fd)


def _key(status: os.stat_result) -> tuple[int, int]:
    return (status.st_dev, status.st_ino)
