"""Names that somebody else may change: a way to a file is walked by descriptors.

Each folder on the way is opened below the one before, links are followed by hand. So
what was looked at is what is used, and a link that another user could have put there is
not followed. The kernel does as much in sticky folders only (fs.protected_symlinks).
"""

import ctypes
import errno
import os
import pwd
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from libxlpy.errors import BackendError, reason_of
from libxlpy_protocol.errors import LibxlpyError

#: Links that Linux follows, include/linux/namei.h.
MAXSYMLINKS = 40
#: Linux, include/uapi/linux/magic.h.
PROC_SUPER_MAGIC = 0x9FA0
#: Bytes, more than a struct statfs.
STATFS_SIZE = 256
#: What is at a name itself; of a folder it serves as ``dir_fd``.
LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
#: A folder that is not there, or not for us to enter.
NO_MATTER = (FileNotFoundError, NotADirectoryError, PermissionError)
#: Modes by which others can put names into a folder.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotOursAlone(LibxlpyError):  # noqa: N818 - says what was found
    """Another user could change what is read or written there; says what to do."""


class Place(NamedTuple):
    """Where a name leads; the descriptor is for the caller to close."""

    #: The folder, O_PATH.
    folder: int
    name: str
    #: What is there; None if nothing is.
    status: os.stat_result | None
    #: The name is a link of /proc to what a process has open.
    of_kernel: bool


def find(path: str | os.PathLike[str]) -> Place:
    """Follow links as far as they are names.

    Raises:
        NotOursAlone: A link on the way could have been put there by another user.
        OSError: The way does not lead on; ``filename`` is as far as it went.
    """
    return _Walk(os.fspath(path), alone=False).run()


def open_folder(path: str | os.PathLike[str]) -> int:
    """Open a folder (O_PATH), the way to it walked as by :func:`find`.

    Raises:
        NotOursAlone: See :func:`find`.
        OSError: There is no such folder.
    """
    folder, name, _, _ = find(path)
    try:
        return os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


def check_alone(path: Path) -> None:
    """See that nobody else may change what is in a folder; nothing is read there.

    Root looks at the way to it, too: who may rename a folder may put another in its
    place. One that is not there, or not for us to enter, is no matter.

    Raises:
        NotOursAlone: Another user owns it, or may write there.
        BackendError: Nobody can tell; there may be no more descriptors.
    """
    try:
        _look_whose(path)
    except NO_MATTER:
        pass
    except OSError as exc:
        text = f"can't see whose {path} is: {reason_of(exc)}"
        raise BackendError(text) from exc


def _look_whose(path: Path) -> None:
    walk = _Walk(os.fspath(path), alone=os.geteuid() == 0)
    folder, name, _, _ = walk.run()
    try:
        fd = os.open(name, LOOK, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        _refuse(fd, os.fstat(fd), str(path))
    finally:
        os.close(fd)


def trusted(uid: int) -> bool:
    """Tell whether a user is one that can do anything anyway: we, root.

    Where root has another number, as seen from a user namespace, it owns ``/``.
    """
    return uid in (0, os.geteuid()) or uid == Path("/").stat().st_uid


def others_may_write(folder: os.stat_result) -> bool:
    """Tell whether another user may put names into a folder."""
    return not trusted(folder.st_uid) or bool(folder.st_mode & OTHERS_WRITE)


def user(uid: int) -> str:
    """Name a user, as `sudo -u` takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"'#{uid}'"


class _Walk:
    """One way, from its first folder on; ``alone`` if each step is to be ours only."""

    def __init__(self, path: str, *, alone: bool) -> None:
        self._alone = alone
        self._path = path
        self._todo = [path]
        self._links = 0
        self._at = -1

    def run(self) -> Place:
        try:
            self._begin(self._todo.pop())
            while (place := self._step()) is None:
                pass
        except BaseException:
            if self._at >= 0:
                os.close(self._at)
            raise
        return place

    def _begin(self, path: str) -> None:
        """Put a path before what is left of the way."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        self._todo += reversed(parts)
        if path.startswith("/") or self._at < 0:
            self._go(os.open("/" if path.startswith("/") else ".", FOLDER))

    def _go(self, folder: int) -> None:
        self._at, before = folder, self._at
        if before >= 0:
            os.close(before)

    def _step(self) -> Place | None:
        name = self._todo.pop() if self._todo else "."
        last = not self._todo
        if self._alone and name != "..":
            self._check_alone()
        try:
            fd = self._look(name, last=last)
        except FileNotFoundError:
            if not last:
                raise
            return Place(self._at, name, None, of_kernel=False)
        try:
            status = os.fstat(fd)
            if stat.S_ISLNK(status.st_mode):
                self._check_link(name, status)
                return self._follow(fd, name, last=last)
            if last:
                return Place(self._at, name, status, of_kernel=False)
            if not stat.S_ISDIR(status.st_mode):
                error = errno.ENOTDIR
                raise NotADirectoryError(error, os.strerror(error), self._path)
            self._go(os.dup(fd))
        finally:
            os.close(fd)
        return None

    def _look(self, name: str, *, last: bool) -> int:
        try:
            # O_DIRECTORY has the kernel mount what is mounted when it is used
            flags = LOOK if last else LOOK | os.O_DIRECTORY
            return os.open(name, flags, dir_fd=self._at)
        except NotADirectoryError:
            return os.open(name, LOOK, dir_fd=self._at)
        except OSError as exc:
            exc.filename = str(Path(_name_of(self._at)) / name)
            raise

    def _follow(self, link: int, name: str, *, last: bool) -> Place | None:
        if _on_procfs(self._at):  # what it says is no name
            if last:
                status = os.stat(name, dir_fd=self._at)
                return Place(self._at, name, status, of_kernel=True)
            self._go(os.open(name, FOLDER, dir_fd=self._at))
            return None
        self._links += 1
        if self._links > MAXSYMLINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        self._begin(os.readlink("", dir_fd=link))
        return None

    def _check_alone(self) -> None:
        folder = os.fstat(self._at)
        # in a sticky one others can't touch what is ours; what is theirs ends the way
        if not (folder.st_mode & stat.S_ISVTX and trusted(folder.st_uid)):
            _refuse(self._at, folder, self._path)

    def _check_link(self, name: str, link: os.stat_result) -> None:
        if trusted(link.st_uid) or not others_may_write(os.fstat(self._at)):
            return
        whose, where = user(link.st_uid), Path(_name_of(self._at)) / name
        text = f"is a link that user {whose} has put there: name what it leads to"
        raise NotOursAlone(f"{where} {text}, or run as that user (sudo -u {whose} ...)")


def _refuse(fd: int, status: os.stat_result, wanted: str) -> None:
    """Say why a folder is not ours alone, if it is not.

    Raises:
        NotOursAlone: It is not.
    """
    foreign = not trusted(status.st_uid)
    if not foreign and not status.st_mode & OTHERS_WRITE:
        return
    name = _name_of(fd)
    what = "it" if name == wanted else name
    if foreign:
        whose = user(status.st_uid)
        text = f"belongs to user {whose}: run as that user (sudo -u {whose} ...)"
    else:
        text = f"is open to others: chmod go-w {name}, or choose another folder"
    raise NotOursAlone(f"{what} {text}")


def _name_of(fd: int) -> str:
    with suppress(OSError):
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    return "its folder"


def _on_procfs(fd: int) -> bool:
    answer = ctypes.create_string_buffer(STATFS_SIZE)
    if ctypes.CDLL(None).fstatfs(fd, answer):
        return False
    size = struct.calcsize("l")
    return int.from_bytes(answer.raw[:size], sys.byteorder) == PROC_SUPER_MAGIC
