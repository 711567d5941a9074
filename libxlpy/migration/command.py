"""A command, such as ssh, whose stdin and stdout lead to the other end of a migration.

It runs in a shell, with our environment and terminal: it is the user's, and may have
to ask for a password. What it says on stderr goes where ours goes, or where it is told.
"""

import asyncio
import os
import signal
import subprocess
from types import TracebackType
from typing import Self

from libxlpy.aio import aside
from libxlpy.errors import BackendError, exit_text

SHELL = "/bin/sh"
#: Ctrl-C is for us to act on: the connection must outlive it.
PREFIX = "trap '' INT QUIT; "
#: Seconds for the shell to be there.
SPAWN_WITHIN = 30.0
#: Seconds for the command to end by itself once the connection was closed, as xl; some
#: are given more. And after each signal then.
LEAVE_WITHIN = 2.0


class MigrationCommand:
    """The command while it runs; enter it with ``async with``."""

    def __init__(
        self, command: str, stderr: int | None = None, *, later: bool = False
    ) -> None:
        """Take what a shell is to run; nothing starts before it is entered.

        Args:
            command: E.g. ``"exec ssh target xl migrate-receive"``.
            stderr: Descriptor to be its stderr; ours if None.
            later: Do not start it then, but by :meth:`start`, which is for ``reach`` of
                :meth:`.Context.domain_migrate`.
        """
        self._command = command
        self._stderr = stderr
        self._later = later
        #: Its stdin and stdout; none once they are its own.
        self._theirs: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        #: What it says, and what it hears.
        self.read_fd = -1
        self.write_fd = -1
        #: Seconds for it to end by itself once the connection was closed.
        self.leave_within = LEAVE_WITHIN
        #: How it ended, e.g. ``"exit status 255"``; "" while it has not.
        self.end = ""

    async def __aenter__(self) -> Self:
        """Start it, unless it is to be later.

        Raises:
            BackendError: It can't be started.
        """
        try:
            stdin, self.write_fd = os.pipe()
            self._theirs = (stdin,)
            self.read_fd, stdout = os.pipe()
            self._theirs = stdin, stdout
            if not self._later:
                await self.start()
        except OSError as exc:
            self._close()
            raise BackendError(f"can't start {SHELL}: {exc.strerror}") from exc
        except BaseException:
            self._close()
            raise
        return self

    async def start(self) -> None:
        """Start it; once, where it was to be later.

        Raises:
            BackendError: It can't be started.
        """
        theirs, self._theirs = self._theirs, ()
        try:
            await aside(lambda: self._start(*theirs), SPAWN_WITHIN)
        except TimeoutError as exc:
            raise BackendError(f"{SHELL} did not start: its disk is slow") from exc
        except OSError as exc:
            raise BackendError(f"can't start {SHELL}: {exc.strerror}") from exc
        except BackendError:  # no thread: it has not begun
            self._theirs = theirs
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection, and see that it ends, bounded."""
        self._close()
        process = self._process
        if process is None:
            return
        pidfd = os.pidfd_open(process.pid)
        try:
            if not await _ended(pidfd, self.leave_within):
                for number in (signal.SIGTERM, signal.SIGKILL):
                    signal.pidfd_send_signal(pidfd, number)
                    if await _ended(pidfd, LEAVE_WITHIN):
                        break
        finally:
            os.close(pidfd)
        status = process.poll()
        if status is None:
            self.end = "has not ended"
        elif status < 0:
            self.end = exit_text(signal=-status, status=None)
        else:
            self.end = exit_text(signal=None, status=status)

    def _start(self, stdin: int, stdout: int) -> None:
        """Start it; blocks. Nobody else has the two descriptors."""
        words = [SHELL, "-c", PREFIX + self._command]
        try:
            self._process = subprocess.Popen(
                words, stdin=stdin, stdout=stdout, stderr=self._stderr
            )
        finally:
            os.close(stdin)
            os.close(stdout)

    def _close(self) -> None:
        """Close what is ours; idempotent."""
        ours = (self.read_fd, self.write_fd, *self._theirs)
        self.read_fd, self.write_fd, self._theirs = -1, -1, ()
        for fd in ours:
            if fd >= 0:
                os.close(fd)


async def _ended(pidfd: int, seconds: float) -> bool:
    """Wait for an end, for so long; tell whether it came."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
    return True
