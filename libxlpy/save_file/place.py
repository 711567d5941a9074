"""What a name stands for: a file in a folder, a device or pipe, or an open file.

Links in ``/proc/PID/fd``, where ``/dev/stdout`` and ``/dev/fd/N`` lead, are no names:
what they say may be gone, another file by now, or in other mounts.
"""

import errno
import fcntl
import os
import re
import stat
from pathlib import Path

from libxlpy import folders
from libxlpy.folders import LOOK, NotOursAlone, Place
from libxlpy.save_file.errors import SaveFileError

FOLLOW = LOOK & ~os.O_NOFOLLOW
#: Below are stdin, stdout and stderr.
FIRST_FREE = 3
#: A process's folder of open files, or that of one of its threads.
FD_FOLDER = re.compile(r".*?/(\d+)(?:/task/\d+)?/fd")


def find(path: Path) -> Place:
    """Follow links as far as they are names; the folder is the caller's to close.

    Raises:
        SaveFileError: There is no such folder, or another user could choose which.
        OSError: It can't be opened.
    """
    try:
        return folders.find(path)
    except FileNotFoundError as exc:
        reason = f"directory {exc.filename} does not exist; create it first"
        raise SaveFileError(path, reason, errno.ENOENT) from exc
    except NotOursAlone as exc:
        raise SaveFileError(path, str(exc), errno.EACCES) from exc


def open_given(path: Path, place: Place) -> int:
    """Give a duplicate of an open file of ours that a link of /proc stands for.

    Returns:
        Its descriptor: the same offset, the same O_APPEND; -1 if another process has
        it, and it is something to open and write in place.

    Raises:
        SaveFileError: It was not given to us to be written, or another process has it.
    """
    folder, name, status, _ = place
    found = FD_FOLDER.fullmatch(str(Path(f"/proc/self/fd/{folder}").readlink()))
    us = Path("/proc/self")
    here = us.stat().st_dev == os.fstat(folder).st_dev
    if not (found and here and found[1] == str(us.readlink())):
        if status is not None and stat.S_ISREG(status.st_mode):
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
    if not access & os.O_APPEND:
        _refuse_rest(path, number)
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)


def _refuse_rest(path: Path, fd: int) -> None:
    """Refuse an open file that goes on: what lies behind would stay."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return
    rest = status.st_size - os.lseek(fd, 0, os.SEEK_CUR)
    if rest > 0:
        reason = f"{rest} bytes of it would be left behind the image"
        raise SaveFileError(path, f"{reason}; open it anew (>) or to append (>>)")


def open_in_place(path: Path, place: Place) -> int:
    """Open what is no regular file to write to it.

    Raises:
        SaveFileError: It is nothing for a stream to go to.
        OSError: It can't be opened.
    """
    folder, name, target, of_kernel = place
    assert target is not None
    at = os.open(name, FOLLOW if of_kernel else LOOK, dir_fd=folder)
    try:
        status = os.fstat(at)
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(target.st_mode):
            raise SaveFileError(path, "it has just become another file; try again")
        _refuse_pipe(path, os.fstat(folder), status)
        fd = _open_again(path, at, status)
    finally:
        os.close(at)
    if os.isatty(fd):
        os.close(fd)
        raise SaveFileError(path, "it is a terminal")
    os.set_blocking(fd, True)
    return fd


def _open_again(path: Path, at: int, status: os.stat_result) -> int:
    """Open for writing what a descriptor (O_PATH) stands for."""
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    if stat.S_ISBLK(status.st_mode):
        flags |= os.O_EXCL  # refused by the kernel while it is mounted
    try:
        return os.open(f"/proc/self/fd/{at}", flags)
    except OSError as exc:
        if exc.errno == errno.ENXIO and stat.S_ISFIFO(status.st_mode):
            reason = "no process reads this pipe; start the reader first"
            raise SaveFileError(path, reason, exc.errno) from exc
        raise


def _refuse_pipe(path: Path, folder: os.stat_result, pipe: os.stat_result) -> None:
    """Refuse a pipe that another user has put where all may, as fs.protected_fifos."""
    if not stat.S_ISFIFO(pipe.st_mode) or not folder.st_mode & stat.S_ISVTX:
        return
    if not folders.trusted(pipe.st_uid) and pipe.st_uid != folder.st_uid:
        whose = folders.user(pipe.st_uid)
        reason = f"user {whose} has put a pipe into a folder that all may write"
        raise SaveFileError(path, f"{reason}; choose another place")
