"""One process, not to be mistaken for a later one with the same number.

A pid alone is reused; with the time of its start, and the boot in which that counts,
it is not. The time is the kernel's, in ticks from boot: psutil's ``create_time`` is of
the wall clock, and one that was set between two looks would make the living dead.
Signals go through a pidfd whose process was proven to be the one meant.

A number counts in one PID namespace. A process of another one (a container) is looked
for among all that we see; whoever does not see all can't say that it is gone.
"""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Self

from libxlpy_protocol.value import Value

BOOT_ID = "/proc/sys/kernel/random/boot_id"
#: The kernel's number of the first PID namespace: who is in it sees all processes.
FIRST_NAMESPACE = 0xEFFFFFFC
#: Bytes of a file below /proc that are read; they have a few hundred.
PROC_MAX = 4096
#: The kernel's limit; a file that was damaged may name more.
PID_MAX = 1 << 22
#: Field of /proc/PID/stat, counted from behind the name.
START_TIME = 19


class Identity(Value):
    """A process."""

    pid: int
    #: Clock ticks from boot to its start.
    start_time: int
    #: The kernel's name for the boot.
    boot_id: str
    #: The PID namespace in which ``pid`` counts, by inode; 0 for our own.
    namespace: int = 0

    @classmethod
    def of(cls, pid: int) -> Self:
        """Identify a living process.

        Raises:
            ProcessLookupError: There is none with that number.
        """
        pidfd = os.pidfd_open(pid)
        try:
            return cls(pid, _start_time(pidfd), boot_id(), namespace())
        finally:
            os.close(pidfd)

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
        for pid in [self.pid] if self._is_here() else self._seen_as():
            with contextlib.suppress(ProcessLookupError):
                pidfd = os.pidfd_open(pid)
                with contextlib.suppress(ProcessLookupError):
                    if _start_time(pidfd) == self.start_time:
                        return pidfd
                os.close(pidfd)
        return None

    def _is_here(self) -> bool:
        return self.namespace in (0, namespace())

    def _seen_as(self) -> Iterator[int]:
        """Give by which numbers we see it, from another namespace: one or none."""
        import psutil  # for another namespace's only

        for pid in psutil.pids():
            with contextlib.suppress(OSError):
                if _namespace(pid) != self.namespace:
                    continue
                if f"\t{self.pid}\n" in read_proc(f"/proc/{pid}/status", "NSpid:"):
                    yield pid

    @property
    def seen(self) -> bool:
        """Tell whether we would see it if it lived."""
        return self._is_here() or namespace() == FIRST_NAMESPACE

    def alive(self) -> bool:
        """Tell whether it lives, as far as we know: one that is not seen may."""
        pidfd = self.open()
        if pidfd is None:
            return self.boot_id == boot_id() and not self.seen
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


@cache
def namespace() -> int:
    """Give the number of our PID namespace; it is that of a process for its life."""
    return _namespace("self")


def _namespace(pid: int | str) -> int:
    return Path(f"/proc/{pid}/ns/pid").stat().st_ino


os.register_at_fork(after_in_child=namespace.cache_clear)


def _start_time(pidfd: int) -> int:
    """Give when a process was started, in clock ticks from boot.

    Its number is taken as /proc has it, which may have been mounted elsewhere.

    Raises:
        ProcessLookupError: It has ended, or /proc does not have it.
    """
    pid = read_proc(f"/proc/self/fdinfo/{pidfd}", "Pid:").split()[1]
    try:
        fields = read_proc(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return int(fields[START_TIME])


def read_proc(path: str, key: str = "") -> str:
    """Read a file of the kernel's, which never waits; with a key only its line."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, PROC_MAX).decode()
    finally:
        os.close(fd)
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith(key))


async def wait_gone(process: Identity, seconds: float) -> bool:
    """Wait until a process has ended; tell whether it has."""
    pidfd = process.open()
    if pidfd is None:
        return not process.alive()
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
