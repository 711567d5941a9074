"""One process, not to be mistaken for a later one with the same number.

A pid alone is reused; with the time of its start, and the boot in which that counts,
it is not. The time is the kernel's, in ticks from boot: psutil's ``create_time`` is of
the wall clock, and one that was set between two looks would make the living dead.
Signals go through a pidfd whose process was proven to be the one meant.
"""

import asyncio
import contextlib
import os
import select
import signal
from dataclasses import dataclass
from functools import cache
from typing import Self

BOOT_ID = "/proc/sys/kernel/random/boot_id"
#: Bytes of a file below /proc that are read; they have a few hundred.
PROC_MAX = 4096
#: The kernel's limit; a file that was damaged may name more.
PID_MAX = 1 << 22
#: Field of /proc/PID/stat, counted from behind the name.
START_TIME = 19


@dataclass(frozen=True, slots=True)
class Identity:
    """A process."""

    pid: int
    #: Clock ticks from boot to its start.
    start_time: int
    #: The kernel's name for the boot.
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Identify a living process.

        Raises:
            ProcessLookupError: There is none with that number.
        """
        return cls(pid, start_time(pid), boot_id())

    @classmethod
    def own(cls) -> Self:
        """Identify ourselves."""
        return cls.of(os.getpid())

    def open(self) -> int | None:
        """Give a pidfd of the process, to be closed; None if there is no such one.

        The pidfd is readable once all its threads have ended.
        """
        if self.boot_id != boot_id() or not 0 < self.pid <= PID_MAX:
            return None
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        with contextlib.suppress(ProcessLookupError):
            if start_time(self.pid) == self.start_time:
                return pidfd
        os.close(pidfd)
        return None

    def alive(self) -> bool:
        """Tell whether it lives."""
        pidfd = self.open()
        if pidfd is None:
            return False
        try:
            return not _ended(pidfd)
        finally:
            os.close(pidfd)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False if the process has ended.

        Raises:
            PermissionError: It is another user's.
        """
        pidfd = self.open()
        if pidfd is None:
            return False
        try:
            if _ended(pidfd):
                return False  # it only waits for its parent to take note
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True


def _ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


@cache
def boot_id() -> str:
    """Give the kernel's name for this boot."""
    return read_proc(BOOT_ID).strip()


def start_time(pid: int) -> int:
    """Give when a process was started, in clock ticks from boot.

    Raises:
        ProcessLookupError: There is none with that number.
    """
    try:
        fields = read_proc(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return int(fields[START_TIME])


def read_proc(path: str) -> str:
    """Read a file of the kernel's, which never waits."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, PROC_MAX).decode()
    finally:
        os.close(fd)


async def wait_gone(process: Identity, seconds: float) -> bool:
    """Wait until a process has ended; tell whether it has."""
    pidfd = process.open()
    if pidfd is None:
        return True
    loop = asyncio.get_running_loop()
    dead = asyncio.Event()
    loop.add_reader(pidfd, dead.set)
    try:
        async with asyncio.timeout(seconds):
            await dead.wait()
    except TimeoutError:
        return False
    else:
        return True
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
