"""System calls for files, and what helps if they fail.

What a file system does not have is no error.
"""

import errno
import fcntl
import os
import struct
import sys
from pathlib import Path

#: What says that a file system has no such thing: FUSE, CIFS, pipes, a server's locks.
NOT_THERE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EROFS, errno.ENOLCK)
#: fsync of a folder is refused by these, too, where there is none or only for files.
NO_FOLDER_SYNC = (*NOT_THERE, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)
#: Linux, include/uapi/linux/fs.h: _IOR('f', 1, long), and of its answer, as of chattr.
FS_IOC_GETFLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
FS_IMMUTABLE_FL, FS_APPEND_FL = 0x10, 0x20
_NO_RIGHT = "; run as a user who may write there"
_NO_SPACE = "; free some space or choose another place"
#: What helps whoever can't write a file, as it goes on behind the system's reason.
HELPS = {
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.ENAMETOOLONG: " with .partial behind it; choose a shorter one",
}


def lock(fd: int) -> bool | None:
    """Lock a file that is open for writing, without waiting.

    Returns:
        Whether it is ours; None if its file system has no locks.

    Raises:
        OSError: It has, but that failed.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        if exc.errno not in NOT_THERE:
            raise
        return None
    return True


def chattr_flags(fd: int) -> int:
    """Give what chattr has set; 0 if the file system has no such thing."""
    size = struct.calcsize("l")
    try:
        answer = fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(size))
    except OSError:
        return 0
    return int.from_bytes(answer[:4], sys.byteorder)  # an int, whatever its name says


def mount_of(fd: int) -> str | None:
    """Give the number of the mount that a descriptor is on; None without /proc."""
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    except OSError:
        return None
    return next((line for line in lines if line.startswith("mnt_id:")), None)


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
        if exc.errno not in NOT_THERE:  # pipes, character devices
            raise


def sync_folder(fd: int) -> None:
    """Bring the names in a folder to the disk, if its file system can do that.

    Raises:
        OSError: The disk failed.
    """
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno not in NO_FOLDER_SYNC:
            raise
