"""Spawn one process beside the event loop, and be there until it has ended.

An exec may hang: a program on a disk that does not answer. So a thread of its own does
it, which then stays: ``PR_SET_PDEATHSIG`` fires when the spawning *thread* ends. It
reaps a process that nobody waits for any more. A daemon thread: one that hangs in the
kernel with its child keeps nobody from leaving.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from libxlpy.aio import start_thread
from libxlpy.errors import BackendError, reason_of
from libxlpy.process.proc import OomKills, kills_of

#: All the child's environment.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
#: Its stdin, stdout and stderr.
Stdio = tuple[int, int, int]


class _Child(subprocess.Popen[bytes]):
    """Tells its pid as soon as it is forked; Popen itself does after the exec."""

    def __init__(
        self, forked: Callable[[int], None], argv: list[str], **options: Any
    ) -> None:
        self._forked = forked
        super().__init__(argv, **options)

    @property
    def pid(self) -> int:
        return self._pid

    @pid.setter
    def pid(self, value: int) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._pid = value
        self._forked(value)


class SpawnThread(threading.Thread):
    """The thread of one process; the process is known by its pidfd."""

    def __init__(self, argv: list[str], stdio: Stdio, pass_fds: Iterable[int]) -> None:
        """Take what is to be spawned.

        Args:
            argv: Program and arguments, no shell.
            stdio: Closed here once the child has them.
            pass_fds: Descriptors it inherits under the same numbers, all above 2.
        """
        super().__init__(name="libxlpy spawn", daemon=True)
        # ----- results -----
        self.pid = 0
        self.pidfd = -1
        #: In its cgroup, when it began; and when that was, monotonic seconds.
        self.oom_kills = OomKills()
        self.began = time.monotonic()
        # ----- private -----
        self._argv = argv
        self._stdio = stdio
        self._pass_fds = tuple(pass_fds)
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Future[OSError | None] = self._loop.create_future()
        self._released = threading.Event()
        self._given_up = False

    async def spawned(self, seconds: float) -> None:
        """Have it spawned; it is killed if that takes too long, or nobody waits.

        Raises:
            TimeoutError: It hangs.
            BackendError: It could not be spawned.
        """
        try:
            start_thread(self)
        except BackendError:
            close_all(self._stdio)
            raise
        try:
            async with asyncio.timeout(seconds):
                error = await asyncio.shield(self._told)
        except BaseException:
            self._give_up()
            raise
        if error is not None:
            text = f"can't start the helper {self._argv[0]}: {reason_of(error)}"
            raise BackendError(text) from error

    def release(self, *, reaped: bool) -> None:
        """Let the thread end, with its process or before.

        Args:
            reaped: The process is; else the thread stays and reaps it when it ends.
        """
        if reaped:
            os.close(self.pidfd)
            self.pidfd = -1
        self._released.set()

    def _give_up(self) -> None:
        self._given_up = True
        self._released.set()
        if self.pid:
            _kill_child(self.pid)  # its exec hangs, or it has just been spawned

    # ----- in the thread ----------------------------------------------------------

    def run(self) -> None:
        """Spawn, wait until released, reap what nobody else has reaped."""
        error: OSError | None = None
        try:
            self._spawn()
        except OSError as exc:  # no descriptors left, no such program ...
            error = exc
        finally:
            close_all(self._stdio)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._tell, error)
        if error is None:
            self._released.wait()
            self._reap()

    def _tell(self, error: OSError | None) -> None:
        if not self._told.done():
            self._told.set_result(error)

    def _spawn(self) -> None:
        """Fork and exec; a vfork would stop all of us until the exec is done.

        ``group``, its own, has Popen fork.
        """
        child = _Child(
            self._forked,
            self._argv,
            stdin=self._stdio[0],
            stdout=self._stdio[1],
            stderr=self._stdio[2],
            pass_fds=self._pass_fds,
            close_fds=True,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
            group=os.getegid(),
        )
        try:
            self.pidfd = os.pidfd_open(child.pid)
        except OSError:
            # No descriptors left, or it ended and was reaped elsewhere already.
            child.kill()
            child.wait()
            raise
        self.oom_kills = kills_of(child.pid)
        child.returncode = 0  # ours from here on: Popen must not look for it

    def _forked(self, pid: int) -> None:
        """Take the pid; its exec may hang from now on, and this thread with it."""
        self.pid = pid
        if self._given_up:
            _kill_child(pid)

    def _reap(self) -> None:
        if self.pidfd < 0:
            return
        if self._given_up:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # somebody else has
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        self.pidfd = -1


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)


def _kill_child(pid: int) -> None:
    """Kill a child that has no pidfd yet, unless the pid is not a child's any more."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
