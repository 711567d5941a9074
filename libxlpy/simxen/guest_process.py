"""One guest's process: started, stopped, told when to write, seen dying.

Processes are started on the main thread only: a guest dies with the *thread* that
started it (PR_SET_PDEATHSIG). Waiting for a guest's answer happens on a worker thread.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from libxlpy.aio import aside, finish
from libxlpy.simxen.library import compiled, simxen_library
from libxlpy.simxen.vcpu import Command, SharedMemory, Tracker, VcpuPage

#: Milliseconds of one wait for a guest to obey; then we look whether it still lives.
_STEP_MS = 200
#: Waits until it is given up, 6 s: it looks every 64 pages, so only a stopped process
#: or a badly overloaded machine needs them. Less than the 10 s of a hypercall.
OBEY_STEPS = 30


class GuestProcess:
    """A running ``simxen-guest``.

    Args:
        memory: The guest's memory.
        vcpu: Its vcpu page, with the first command already set.
        on_death: Called once if it ends without :meth:`stop`.

    Raises:
        SimxenError: The program was not built.
        OSError: It can't be started.
    """

    def __init__(
        self, memory: SharedMemory, vcpu: VcpuPage, on_death: Callable[[], None]
    ) -> None:
        self._vcpu = vcpu
        self._on_death = on_death
        self._process = subprocess.Popen(
            [
                str(compiled("simxen-guest")),
                str(memory.fd),
                str(vcpu.fd),
                str(vcpu["nr_pages"]),
                str(os.getpid()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(memory.fd, vcpu.fd),
            env={},
        )
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._dead = asyncio.Event()
        self._cpu_time_ns = 0
        asyncio.get_running_loop().add_reader(self._pidfd, self._died)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return not self._dead.is_set()

    @property
    def cpu_time_ns(self) -> int:
        """Time on a CPU so far, nanoseconds."""
        try:
            fields = Path(f"/proc/{self.pid}/schedstat").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return self._cpu_time_ns
        self._cpu_time_ns = int(fields[0])
        return self._cpu_time_ns

    async def command(self, command: Command) -> None:
        """Let the guest run or stop; stopped means that no write is under way.

        Raises:
            ProcessLookupError: It died, or was ended since it did not obey.
        """
        library, address = simxen_library(), self._vcpu.address
        await self._patiently(lambda: library.guest_command(address, command, _STEP_MS))

    async def track(self, wanted: bool) -> Tracker:
        """Arm or disarm the tracker of written pages; gives what the guest uses.

        Raises:
            ProcessLookupError: It died, or was ended since it did not obey.
        """
        library, address = simxen_library(), self._vcpu.address
        kind = self._vcpu["tracker_kind"]
        reached = Tracker.OFF

        def ask() -> None:
            nonlocal reached
            reached = Tracker(
                library.guest_tracker(address, int(wanted), kind, _STEP_MS)
            )

        await self._patiently(ask)
        return reached

    async def stop(self) -> None:
        """End the process, whatever it does; its memory stays with us."""
        self._on_death = _nothing
        await self._kill()

    # ---------------------------------------------------------------- private

    async def _patiently(self, ask: Callable[[], None]) -> None:
        """Repeat a short wait until it succeeds.

        A guest that does not obey is ended: nobody could say when it writes.
        """
        for _ in range(OBEY_STEPS):
            try:
                return await in_thread(ask)
            except TimeoutError:
                if not self.alive:
                    break
        await self._kill()
        raise ProcessLookupError(self.pid)

    async def _kill(self) -> None:
        if self.alive:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        await self._dead.wait()

    def _died(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._process.wait()
        os.close(self._pidfd)
        self._dead.set()
        self._on_death()


async def in_thread(work: Callable[[], None]) -> None:
    """Do blocking work on a worker thread; return only when it has ended.

    The work uses mapped memory: a cancelled caller may not give it back meanwhile.
    """
    await finish(asyncio.create_task(aside(work, None)))


def _nothing() -> None:
    """Expect no more."""
