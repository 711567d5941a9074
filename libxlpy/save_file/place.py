"""What a name stands for: a file in a folder, a device or pipe, or an open file.

Links in ``/proc/PID/fd``, where ``/dev/stdout`` and ``/dev/fd/N`` lead, are no names:
what they say may be gone, another file by now, or in other mounts.
"""

import ctypes
import errno
import fcntl
import os
import re
import stat
import struct
import sys
from pathlib import Path

from libxlpy.save_file.errors import SaveFileError

#: Links that Linux follows, include/linux/namei.h.
MAXSYMLINKS = 40
#: Linux, include/uapi/linux/magic.h.
PROC_SUPER_MAGIC = 0x9FA0
#: Bytes, more than a struct statfs.
STATFS_SIZE = 256
#: Below are stdin, stdout and stderr.
FIRST_FREE = 3
#: A process's folder of open files.
FD_FOLDER = re.compile(r".*/(\d+)(?:/task/\d+)?/fd")


def find(path: Path) -> tuple[int, str, bool]:
    """Follow links as far as they are names.

    Returns:
        Descriptor of the folder (O_PATH), the caller's to close; name in it; whether
        that is a link of /proc to what a process has open.

    Raises:
        SaveFileError: There is no such folder.
        OSError: It can't be opened.
    """
    text, folder = os.fspath(path), -1
    try:
        for _ in range(MAXSYMLINKS):
            head, name = os.path.split(text)
            below = _opened(path, head or ".", folder)
            if folder >= 0:
                os.close(folder)
            folder = below
            try:
                text = os.readlink(name, dir_fd=folder)
            except OSError as exc:
                if exc.errno not in (errno.EINVAL, errno.ENOENT):
                    raise
                return folder, name, False
            if _on_procfs(folder):
                return folder, name, True
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))  # noqa: TRY301
    except BaseException:
        if folder >= 0:
            os.close(folder)
        raise


def _opened(path: Path, name: str, folder: int) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=folder if folder >= 0 else None)
    except FileNotFoundError:
        reason = f"directory {name} does not exist; create it first"
    except NotADirectoryError:
        reason = f"{name} is not a directory"
    raise SaveFileError(path, reason, errno.ENOENT)


def _on_procfs(fd: int) -> bool:
    answer = ctypes.create_string_buffer(STATFS_SIZE)
    if ctypes.CDLL(None).fstatfs(fd, answer):
        return False
    size = struct.calcsize("l")
    return int.from_bytes(answer.raw[:size], sys.byteorder) == PROC_SUPER_MAGIC


def open_given(path: Path, folder: int, name: str) -> int:
    """Give a duplicate of an open file of ours that a link of /proc stands for.

    Returns:
        Its descriptor: the same offset, the same O_APPEND; -1 if another process has
        it, and it is something to open and write in place.

    Raises:
        SaveFileError: It was not given to us to be written, or another process has it.
    """
    found = FD_FOLDER.fullmatch(str(Path(f"/proc/self/fd/{folder}").readlink()))
    us = Path("/proc/self")
    here = us.stat().st_dev == os.fstat(folder).st_dev
    if not (found and here and found[1] == str(us.readlink())):
        if path.is_file():
            reason = "another process has this file open; name the file itself"
            raise SaveFileError(path, reason)
        return -1
    number = int(name)
    access = fcntl.fcntl(number, fcntl.F_GETFL)
    if fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
        raise SaveFileError(path, f"descriptor {number} was not given to this program")
    if access & os.O_PATH or access & os.O_ACCMODE == os.O_RDONLY:
        raise SaveFileError(path, f"descriptor {number} is not open for writing")
    if os.isatty(number):
        raise SaveFileError(path, "it is a terminal")
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)


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
