"""The caller's stream descriptor, while a job uses it.

The helper gets a duplicate and does all reading and writing; here only its flags are
looked after. ``O_NONBLOCK`` is a property of the open file, not of the descriptor, so
it is cleared for the job and put back at its end, as libxl does.
"""

import fcntl
import os
import stat
from typing import Literal

from libxlpy.errors import UsageError

#: Below are the helper's stdin, stdout and stderr.
FIRST_FREE = 3

#: Direction, device and inode: a pipe's two ends share an inode.
Identity = tuple[str, int, int]


class StreamFd:
    """One stream descriptor in use by a job."""

    def __init__(self, fd: int, access: Literal["read", "write"]) -> None:
        """Check and prepare it.

        Args:
            fd: The caller's descriptor; stays open and the caller's.
            access: What the helper does with it.

        Raises:
            UsageError: It is not open, or not for this, or no file, pipe or socket.
        """
        try:
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            mode = os.fstat(fd).st_mode
        except (OSError, OverflowError, ValueError) as exc:
            raise UsageError(f"stream descriptor {fd} is not usable: {exc}") from exc
        wrong = os.O_RDONLY if access == "write" else os.O_WRONLY
        if flags & os.O_ACCMODE == wrong or flags & os.O_PATH:
            raise UsageError(f"stream descriptor {fd} is not open to {access}")
        if stat.S_ISDIR(mode):
            raise UsageError(f"stream descriptor {fd} is a folder")
        self._flags = flags
        self._access = access
        #: Our duplicate, which the helper inherits under the same number.
        self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
        self._start = self._position()
        if flags & os.O_NONBLOCK:
            fcntl.fcntl(self.fd, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)

    def _position(self) -> int | None:
        """Give the offset in a regular file; None if there is no such thing."""
        try:
            if stat.S_ISREG(os.fstat(self.fd).st_mode):
                return os.lseek(self.fd, 0, os.SEEK_CUR)
        except OSError:
            pass  # no offset: the answer is None as for a pipe
        return None

    def identity(self) -> set[Identity]:
        """Give what tells a stream that only one job may use; none for /dev/null."""
        status = os.fstat(self.fd)
        if stat.S_ISCHR(status.st_mode):
            return set()
        return {(self._access, status.st_dev, status.st_ino)}

    def moved(self) -> bool:
        """Tell whether the stream may have been used; certain for a regular file."""
        position = self._position()
        return position is None or position != self._start

    def close(self) -> None:
        """Put the flags back and close our duplicate; idempotent."""
        if self.fd >= 0:
            if self._flags & os.O_NONBLOCK:
                fcntl.fcntl(self.fd, fcntl.F_SETFL, self._flags)
            os.close(self.fd)
            self.fd = -1
