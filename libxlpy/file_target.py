"""What a save is written to: what may be in its way, and targets that are no file."""

import errno
import os
import stat
from pathlib import Path

from libxlpy_protocol.errors import LibxlpyError


class SaveFileError(LibxlpyError):
    """A save file can't be written.

    Attributes:
        path: The file as the caller named it.
        reason: What is in the way, and what to do about it.
        errno: Of the failed call; None if no call failed.
        in_place: The whole file is there under its name, but its directory could not
            be brought to the disk: a power cut may bring the old file back.
    """

    def __init__(
        self,
        path: Path,
        reason: str,
        errnoval: int | None = None,
        *,
        in_place: bool = False,
    ) -> None:
        what = "is whole, but its directory may not be on the disk"
        text = (
            f"{path} {what}: {reason}" if in_place else f"can't write {path}: {reason}"
        )
        super().__init__(text)
        self.path = path
        self.reason = reason
        self.errno = errnoval
        self.in_place = in_place


class FileInUseError(SaveFileError):
    """Another process is writing it."""


def open_in_place(path: Path, target: os.stat_result) -> int:
    """Open what is no regular file to write to it.

    Raises:
        SaveFileError: It is nothing for a stream to go to.
        OSError: It can't be opened.
    """
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    if stat.S_ISBLK(target.st_mode):
        flags |= os.O_EXCL  # refused by the kernel while it is mounted
    try:
        fd = os.open(path, flags)
    except OSError as exc:
        if exc.errno == errno.ENXIO and stat.S_ISFIFO(target.st_mode):
            reason = "no process reads this pipe; start the reader first"
            raise SaveFileError(path, reason, exc.errno) from exc
        raise
    if os.isatty(fd):
        os.close(fd)
        raise SaveFileError(path, "it is a terminal")
    os.set_blocking(fd, True)
    return fd


def write_all(fd: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync(fd: int) -> None:
    """Bring a file to the disk, if there is a disk."""
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.EROFS):  # pipes, character devices
            raise


def reason_of(exc: OSError) -> str:
    """Give what is wrong, and what to do about it."""
    text = os.strerror(exc.errno) if exc.errno else str(exc)
    match exc.errno:
        case errno.EACCES | errno.EPERM:
            return f"{text}; run as a user who may write there"
        case errno.ENOSPC | errno.EDQUOT:
            return f"{text}; free some space or choose another place"
        case _:
            return text
