"""Stop an operation that may be blocked inside libxc, or have its stream end.

libxc retries its reads and writes on EINTR, so a signal alone does nothing. The stream
is replaced by a descriptor that fails with EBADF, then the main thread is kicked by a
signal until it has come back: libxc sees an I/O error and cleans up as after any other.
In the same way one that is at its end makes a restore with checkpoints fail over.
"""

from __future__ import annotations

import errno
import os
import signal
import threading

from libxlpy_helper.xen.xenguest import KICK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

KICK_INTERVAL: Final = (
    0.05  # seconds; a kick is lost if it comes before the call blocks
)

#: What libxc says of a stream that was cut.
DEAD_STREAM: Final = os.strerror(errno.EBADF)


class AbortedError(Exception):
    """Raised in the main thread by code of ours that sees the abort."""


class Abort:
    """Requested once by the control thread; heeded by the main thread.

    To be made by the main thread, which runs the operation.
    """

    def __init__(self) -> None:
        self.requested = False
        self.is_pressing = False  # the main thread is to be kicked
        self._target = threading.get_ident()
        self._lock = threading.Lock()
        self._streams: tuple[int, ...] = ()
        # Neither readable nor writable. Opened early: there may be no descriptor left
        # later on.
        self._dead_fd = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)

    def guard(self, streams: Iterable[int]) -> None:
        """Name the descriptors to cut; at once, if the abort was first."""
        with self._lock:
            self._streams = tuple(streams)
            if self.requested:
                self._replace(self._dead_fd)

    def request(self) -> None:
        """Cut the streams; a second time does nothing."""
        with self._lock:
            if not self.requested:
                self.requested = self.is_pressing = True
                self._replace(self._dead_fd)

    def end_streams(self) -> None:
        """Have the streams be at their end, unless they are cut.

        Raises:
            OSError: There is no descriptor left.
        """
        with self._lock:
            if not self.requested:
                end = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
                self._replace(end)
                os.close(end)
                self.is_pressing = True

    def kick(self) -> None:
        """Make the blocked system call of the main thread return EINTR."""
        signal.pthread_kill(self._target, KICK)

    def check(self) -> None:
        """Leave Python code of the operation.

        Raises:
            AbortedError: The abort was requested.
        """
        if self.requested:
            raise AbortedError

    def _replace(self, by: int) -> None:
        for fd in self._streams:
            os.dup2(by, fd, inheritable=False)
