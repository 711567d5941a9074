"""Start one helper, signal it, prove its death.

The helper is started by the event loop's own thread (``PR_SET_PDEATHSIG`` fires when
the *thread* that spawned ends) with an argv list, this interpreter, a fresh environment
and no descriptor but the stream's. From then on it is known by its pidfd only: a pid
may be reused, a pidfd never is. No SIGCHLD handler and no child watcher is involved, so
the surrounding program may do with SIGCHLD what it likes.
"""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from libxlpy.backend import Backend
from libxlpy.errors import BackendError, exit_text

#: All the helper's environment.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
#: Bytes of stderr that are kept.
STDERR_KEPT = 8192
#: Bytes taken from stderr per wake-up.
STDERR_TAKEN = 4096
#: Reads that empty a full pipe (64 KiB) once its writer is dead.
STDERR_LAST_READS = 17


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended; both None if another reaper took the status."""

    signal: int | None = None
    status: int | None = None

    def __str__(self) -> str:
        """Give it as text."""
        return exit_text(signal=self.signal, status=self.status)


def helper_argv(backend: Backend) -> list[str]:
    """Give the helper's program and arguments."""
    return [
        *(sys.executable, "-I", "-m", "libxlpy_helper"),
        *("--parent", str(os.getpid())),
        *backend.helper_arguments(),
    ]


class HelperProcess:
    """One child process with its three pipes; our ends never block."""

    def __init__(self, argv: list[str], pass_fds: Iterable[int] = ()) -> None:
        """Start it.

        Args:
            argv: Program and arguments, no shell.
            pass_fds: Descriptors it inherits under the same numbers, all above 2.

        Raises:
            BackendError: It could not be started.
        """
        self._loop = asyncio.get_running_loop()
        self._dead: asyncio.Future[ExitStatus] = self._loop.create_future()
        self.exit: ExitStatus | None = None
        self.write_fd = -1
        try:
            stderr_fd = self._start(argv, pass_fds)
        except OSError as exc:  # no descriptors left, no such program ...
            raise BackendError(f"can't start the helper {argv[0]}: {exc}") from exc
        self.stderr = StderrTail(stderr_fd)
        self._loop.add_reader(self._pidfd, self._reap)

    def _start(self, argv: list[str], pass_fds: Iterable[int]) -> int:
        """Make the pipes and the process; give our end of its stderr."""
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            ours.callback(self.hang_up)
            #: Our end of its fd 0; -1 once closed.
            stdin, self.write_fd = os.pipe()
            theirs.callback(os.close, stdin)
            #: Our end of its fd 1.
            self.read_fd, stdout = _pipe(ours, theirs)
            stderr_fd, stderr = _pipe(ours, theirs)
            for fd in (self.write_fd, self.read_fd, stderr_fd):
                os.set_blocking(fd, False)
            self._popen = _spawn(argv, (stdin, stdout, stderr), pass_fds)
            self.pid = self._popen.pid
            self._pidfd = _open_pidfd(self._popen)
            ours.callback(os.close, self._pidfd)
            self._fds = ours.pop_all()
        return stderr_fd

    # ----- while it lives ---------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Tell, as its pidfd says, whether it has not ended yet."""
        if self.exit is not None:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it is dead already."""
        if self.exit is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def wait(self) -> ExitStatus:
        """Wait for its death; may be called and cancelled any number of times."""
        return await asyncio.shield(self._dead)

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
            info = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            info = None  # someone else's waitpid(-1), or SIGCHLD is ignored
        if info is None:
            self.exit = ExitStatus()
        elif info.si_code == os.CLD_EXITED:
            self.exit = ExitStatus(status=info.si_status)
        else:
            self.exit = ExitStatus(signal=info.si_status)
        self._popen.returncode = 0  # reaped: Popen must not look for it, nor warn
        if not self._dead.done():
            self._dead.set_result(self.exit)

    def close(self) -> None:
        """Close our descriptors of it; nothing more is heard of it afterwards."""
        self.stderr.close()
        self._loop.remove_reader(self._pidfd)
        self._popen.returncode = 0  # given up or reaped: either way not Popen's
        self._fds.close()


def _pipe(
    read_owner: contextlib.ExitStack, write_owner: contextlib.ExitStack
) -> tuple[int, int]:
    """Make a pipe whose ends are closed by their owners."""
    read_fd, write_fd = os.pipe()
    read_owner.callback(os.close, read_fd)
    write_owner.callback(os.close, write_fd)
    return read_fd, write_fd


def _spawn(
    argv: list[str], stdio: tuple[int, int, int], pass_fds: Iterable[int]
) -> subprocess.Popen[bytes]:
    """Fork and exec; waits for the exec only, a few milliseconds."""
    return subprocess.Popen(
        argv,
        stdin=stdio[0],
        stdout=stdio[1],
        stderr=stdio[2],
        pass_fds=tuple(pass_fds),
        close_fds=True,
        cwd="/",
        env=ENVIRONMENT,
        start_new_session=True,
    )


def _open_pidfd(popen: subprocess.Popen[bytes]) -> int:
    try:
        return os.pidfd_open(popen.pid)
    except OSError as exc:
        # No descriptors left, or it ended and was reaped elsewhere already. It reads
        # EOF as our pipes close, and leaves; Popen's own list reaps it then.
        popen.kill()
        popen.wait()
        raise BackendError(f"can't watch the helper: {exc}") from exc


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
