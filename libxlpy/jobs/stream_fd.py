"""The caller's stream descriptor, while a job uses it.

The helper gets a duplicate and does all reading and writing; here only its flags are
looked after. ``O_NONBLOCK`` is a property of the open file, not of the descriptor, so
it is cleared for the job and put back at its end, as libxl does.
"""

import errno
import fcntl
import os
import signal
import stat
from pathlib import Path
from typing import Literal, NoReturn, Self

from libxlpy.errors import BackendError, UsageError, reason_of
from libxlpy.forked import Owned
from libxlpy.streams import Format, StreamRuleBroken, Walked, walk_to_end

#: Below are the helper's stdin, stdout and stderr.
FIRST_FREE = 3

#: Says that what we write we may not read.
UNREADABLE = (errno.EACCES, errno.EPERM, errno.ENOENT)

#: Of no use to anybody who is not told of input by signals: tells open files apart.
MARK = signal.SIGRTMAX


class StreamFd(Owned):
    """One stream descriptor in use by a job."""

    def __init__(self, fd: int, access: Literal["read", "write"]) -> None:
        """Check and prepare it.

        Args:
            fd: The caller's descriptor; stays open and the caller's.
            access: What the helper does with it.

        Raises:
            UsageError: It is not open, or not for this, or no file, pipe or socket.
            BackendError: There may be no more descriptors.
        """
        super().__init__()
        self.fd = -1
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
        try:
            self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
        except OSError as exc:
            text = f"can't take stream descriptor {fd}: {reason_of(exc)}"
            raise BackendError(text) from exc
        self._start = self._position()
        #: The same in a block device.
        self._from = self._device_offset()
        if flags & os.O_NONBLOCK:
            fcntl.fcntl(self.fd, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)

    def _position(self) -> int | None:
        """Give the offset in a regular file; None if there is no such thing."""
        try:
            status = os.fstat(self.fd)
            if stat.S_ISREG(status.st_mode):
                if self._flags & os.O_APPEND:
                    return status.st_size
                return os.lseek(self.fd, 0, os.SEEK_CUR)
        except OSError:
            pass  # no offset: the answer is None as for a pipe
        return None

    def _device_offset(self) -> int | None:
        """Give the offset in a block device; None if it is none."""
        if stat.S_ISBLK(os.fstat(self.fd).st_mode):
            return os.lseek(self.fd, 0, os.SEEK_CUR)
        return None

    def in_the_way_of(self, other: Self) -> bool:
        """Tell whether two jobs can't use both; a file is read by as many as like.

        Each needs an offset of its own for that: an open file that was duplicated has
        one only.
        """
        if self.fd < 0 or other.fd < 0 or _place(self.fd) != _place(other.fd):
            return False
        mode = os.fstat(self.fd).st_mode
        if stat.S_ISCHR(mode):
            return False  # /dev/null and such
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            return self._access == other._access  # a pipe's two ends share an inode
        writes = "write" in (self._access, other._access)
        return writes or _is_one_open_file(self.fd, other.fd)

    @property
    def has_reader(self) -> bool:
        """Tell whether what was written may be a guest by now, somewhere else."""
        mode = os.fstat(self.fd).st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

    def moved(self) -> bool:
        """Tell whether the stream may have been used; certain for a regular file."""
        position = self._position()
        return position is None or position != self._start

    def check_input(self, format: Format) -> None:
        """See that what is to be read from a file or device is one whole stream.

        Its offset stays, and what can't be read twice (a pipe) is not looked at.

        Raises:
            StreamRuleBroken: It is not; offsets count from where it starts.
            OSError: It can't be read.
        """
        mode = os.fstat(self.fd).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            return
        start = os.lseek(self.fd, 0, os.SEEK_CUR)
        try:
            fd = self._opened_anew()
        except OSError as exc:
            if exc.errno not in UNREADABLE:
                raise
            fd = os.dup(self.fd)  # the same offset, which nobody uses meanwhile
        try:
            os.lseek(fd, start, os.SEEK_SET)
            walk_to_end(fd, format)
        finally:
            os.lseek(fd, start, os.SEEK_SET)
            os.close(fd)

    def path(self) -> str:
        """Give what the kernel calls it, for messages; "" if it does not say."""
        try:
            return str(Path(f"/proc/self/fd/{self.fd}").readlink())
        except OSError:
            return ""

    def check_whole(self, format: Format) -> Walked | None:
        """See that what was written to a file or block device is one whole stream.

        What can't be read again (a pipe) is not looked at, and of a file that may not
        be read only the length is.

        Returns:
            What is in it; None if it was not looked at.

        Raises:
            StreamRuleBroken: It is not.
            OSError: The file can't be read.
        """
        start = self._from if self._start is None else self._start
        if start is None:
            return None
        end = self._position()
        try:
            fd = self._opened_anew()
        except OSError as exc:
            if exc.errno not in UNREADABLE:
                raise
            if end is not None and end <= start:
                self._not_whole(0, "nothing was written")
            return None
        try:
            os.lseek(fd, start, os.SEEK_SET)
            walked = walk_to_end(fd, format)
        finally:
            os.close(fd)
        if end is not None and start + walked.length != end:
            written = max(end - start, 0)
            text = f"it ends here, but {written} bytes were written"
            self._not_whole(walked.length, text)
        return walked

    def length(self) -> int | None:
        """Give the bytes written to a file or block device; None of anything else."""
        if self._start is not None:
            end = self._position()
            return None if end is None else end - self._start
        end = self._device_offset()
        return None if end is None or self._from is None else end - self._from

    def _opened_anew(self) -> int:
        """Give a descriptor of the same file to read, with an offset of its own."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY
        return os.open(f"/proc/self/fd/{self.fd}", flags)

    @staticmethod
    def _not_whole(at: int, text: str) -> NoReturn:
        raise StreamRuleBroken("stream", at, text)

    def disown(self) -> None:
        """Close our duplicate; flags are of the open file, which the parent uses."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        """Put the flags back and close our duplicate; idempotent."""
        if self.fd >= 0:
            if self._flags & os.O_NONBLOCK:
                fcntl.fcntl(self.fd, fcntl.F_SETFL, self._flags)
            os.close(self.fd)
            self.fd = -1


def _place(fd: int) -> tuple[int, int]:
    """Give what tells one file from another, and a device by whatever node."""
    status = os.fstat(fd)
    if stat.S_ISBLK(status.st_mode):
        return (0, status.st_rdev)
    return (status.st_dev, status.st_ino)


def _is_one_open_file(one: int, other: int) -> bool:
    """Tell whether two descriptors have one offset.

    What is set for one is looked for at the other. kcmp(2) would say it, too, but is
    not in each kernel.
    """
    before = fcntl.fcntl(one, fcntl.F_GETSIG)
    fcntl.fcntl(one, fcntl.F_SETSIG, MARK - 1 if before == MARK else MARK)
    try:
        return fcntl.fcntl(other, fcntl.F_GETSIG) == fcntl.fcntl(one, fcntl.F_GETSIG)
    finally:
        fcntl.fcntl(one, fcntl.F_SETSIG, before)
