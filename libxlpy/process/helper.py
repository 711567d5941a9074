"""Start one helper, signal it, prove its death.

The helper is started by a thread that stays as long as it, see ``spawn_thread``, with
an argv list, this interpreter, a fresh environment and no descriptor but the stream's.
From then on it is known by its pidfd only: a pid may be reused, a pidfd never is. No
SIGCHLD handler and no child watcher is involved, so the surrounding program may do with
SIGCHLD what it likes.
"""

import asyncio
import contextlib
import os
import resource  # noqa: F401 - now: os.wait4 imports it, and a descriptor may lack
import select
import signal
from collections.abc import Callable, Iterable

from libxlpy.aio import aside
from libxlpy.backend import Backend
from libxlpy.errors import BackendError, exit_text, reason_of
from libxlpy.forked import Owned, lead_nowhere
from libxlpy.process.packages import helper_python
from libxlpy.process.proc import kernel_place, proof
from libxlpy.process.spawn_thread import SpawnThread, close_all
from libxlpy.results.report import Rusage
from libxlpy.results.statistics import IoCounts
from libxlpy_protocol.value import Value

#: Seconds for the kernel to tell where a process hangs.
PLACE_SECONDS = 2.0
#: Bytes of stderr that are kept.
STDERR_KEPT = 8192
#: Bytes taken from stderr per wake-up.
STDERR_TAKEN = 4096
#: Reads that empty a full pipe (64 KiB) once its writer is dead.
STDERR_LAST_READS = 17


class ExitStatus(Value):
    """How a process ended; both None if another reaper took the status."""

    signal: int | None = None
    status: int | None = None

    def __str__(self) -> str:
        """Give it as text."""
        return exit_text(signal=self.signal, status=self.status)


def helper_argv(backend: Backend) -> list[str]:
    """Give the helper's program and arguments.

    Raises:
        BackendError: A package is missing.
    """
    return [
        *helper_python("libxlpy_helper"),
        *("--parent", str(os.getpid())),
        *backend.helper_arguments(),
    ]


class HelperProcess(Owned):
    """One child process with its three pipes; our ends never block."""

    def __init__(
        self, thread: SpawnThread, read_fd: int, write_fd: int, stderr: int
    ) -> None:
        """Take what :func:`start_process` has started; all its arguments are ours."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._dead: asyncio.Future[ExitStatus] = self._loop.create_future()
        self._thread = thread
        self._pidfd = thread.pidfd
        self.exit: ExitStatus | None = None
        #: What it has used, once it has ended; None if another reaped it.
        self.rusage: Rusage | None = None
        #: All its I/O, once it has ended; None if that is not counted.
        self.io: IoCounts | None = None
        self._io_of: Callable[[int], IoCounts | None] = _not_counted
        self._killed = False
        self.pid = thread.pid
        #: Our end of its fd 1, and of its fd 0; the latter -1 once closed.
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._stderr_fd = stderr
        self.stderr = StderrTail(stderr)
        self._loop.add_reader(self._pidfd, self._reap)

    # ----- while it lives ---------------------------------------------------------

    def count_io(self) -> None:
        """Have its I/O told from here on: now, as who reaps it has none to load."""
        with contextlib.suppress(OSError, ImportError):  # as if it were not told
            from libxlpy.process.counts import io_of

            self._io_of = io_of

    @property
    def alive(self) -> bool:
        """Tell, as its pidfd says, whether it has not ended yet."""
        if self.exit is not None:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def io_counts(self) -> IoCounts | None:
        """Give what is counted of its I/O; None where nobody does, or tells.

        Its pid is its own as long as it lives: nobody but us reaps it.
        """
        return self._io_of(self.pid) if self.alive else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it is dead already."""
        if self.exit is None:
            self._killed = self._killed or number is signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def wait(self) -> ExitStatus:
        """Wait for its death; may be called and cancelled any number of times."""
        return await asyncio.shield(self._dead)

    async def wait_within(self, seconds: float) -> bool:
        """Wait for its death, for so long; tell whether it is dead."""
        await asyncio.wait([self._dead], timeout=seconds)
        return self._dead.done()

    def hang_up(self) -> None:
        """Close the pipe to it, so that it reads EOF; idempotent."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    # ----- its end ----------------------------------------------------------------

    def _reap(self) -> None:
        """Take the status: the pidfd is readable, so it is dead for certain."""
        self._loop.remove_reader(self._pidfd)
        try:
            look = os.WEXITED | os.WNOHANG | os.WNOWAIT
            info = os.waitid(os.P_PIDFD, self._pidfd, look)
        except ChildProcessError:
            info = None  # someone else's waitpid(-1), or SIGCHLD is ignored
        if info is not None:  # a zombie of ours, so its pid is its own
            self.io = self._io_of(self.pid)
            self.rusage = _reaped(self.pid)
        if info is None:
            self.exit = ExitStatus()
        elif info.si_code == os.CLD_EXITED:
            self.exit = ExitStatus(status=info.si_status)
        else:
            self.exit = ExitStatus(signal=info.si_status)
        if not self._dead.done():
            self._dead.set_result(self.exit)

    async def oom_proof(self) -> str:
        """Give what proves that the kernel killed it for want of memory; "" if none."""
        if self._killed or self.exit != ExitStatus(signal=signal.SIGKILL):
            return ""
        thread = self._thread
        try:
            return await aside(
                lambda: proof(self.pid, thread.oom_kills, thread.began), PLACE_SECONDS
            )
        except (TimeoutError, BackendError):
            return ""

    async def place(self) -> str:
        """Tell how it ended, or where in the kernel it hangs."""
        if self.exit is not None:
            return str(self.exit)
        try:
            where = await aside(lambda: kernel_place(self.pid), PLACE_SECONDS)
        except (TimeoutError, BackendError):
            where = ""
        return f"unkillable: {where or 'the kernel does not tell where it is'}"

    def disown(self) -> None:
        """Have it for dead: it is not our child, and to be neither told nor killed."""
        lead_nowhere([self._thread.pidfd, self.read_fd, self.write_fd, self._stderr_fd])
        if self.exit is None:
            self.exit = ExitStatus()
        if not self._dead.done():
            self._dead.set_result(self.exit)

    def close(self) -> None:
        """Close our descriptors of it; nothing more is heard of it afterwards.

        One that was given up is reaped when it ends.
        """
        self.stderr.close()
        self._loop.remove_reader(self._pidfd)
        self.hang_up()
        close_all([self.read_fd, self._stderr_fd])
        self.read_fd = self._stderr_fd = -1  # the numbers are others' from now on
        self._thread.release(reaped=self.exit is not None)


async def start_process(
    argv: list[str], pass_fds: Iterable[int], seconds: float
) -> HelperProcess:
    """Start a process.

    Args:
        argv: Program and arguments, no shell.
        pass_fds: Descriptors it inherits under the same numbers, all above 2.
        seconds: Until its exec is done.

    Raises:
        TimeoutError: Its exec was not; it is killed.
        BackendError: It could not be started.
    """
    pipes: list[int] = []
    try:
        for _ in range(3):
            pipes += os.pipe()
    except OSError as exc:
        close_all(pipes)
        raise BackendError(
            f"can't start the helper {argv[0]}: {reason_of(exc)}"
        ) from exc
    stdin, write_fd, read_fd, stdout, stderr_fd, stderr = pipes
    ours = (read_fd, write_fd, stderr_fd)
    try:
        for fd in ours:
            os.set_blocking(fd, False)
        thread = SpawnThread(argv, (stdin, stdout, stderr), pass_fds)
        await thread.spawned(seconds)
    except BaseException:
        close_all(ours)
        raise
    return HelperProcess(thread, *ours)


def _not_counted(_pid: int) -> None:
    """Tell nothing: nobody asks for the I/O of most."""


def _reaped(pid: int) -> Rusage | None:
    """Reap a zombie; give what it has used."""
    try:
        _, _, used = os.wait4(pid, 0)
    except ChildProcessError:
        return None  # another was quicker
    return Rusage(used.ru_utime, used.ru_stime, used.ru_maxrss * 1024)


class StderrTail:
    """Keep the newest bytes of a helper's stderr."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._tail = b""
        #: Bytes read.
        self.taken = 0
        self._open = True
        asyncio.get_running_loop().add_reader(fd, self._read)

    def _read(self) -> bool:
        """Take one piece; tell whether there may be more."""
        try:
            data = os.read(self._fd, STDERR_TAKEN)
        except BlockingIOError:
            return False
        if not data:
            self.close()
        self.taken += len(data)
        self._tail = (self._tail + data)[-STDERR_KEPT:]
        return self._open

    def text(self) -> str:
        """Give what was kept, with what a dead writer has left in the pipe."""
        for _ in range(STDERR_LAST_READS):
            if not self._open or not self._read():
                break
        return self._tail.decode("utf-8", "replace")

    def close(self) -> None:
        """Stop reading; the descriptor itself belongs to the process."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._fd)
