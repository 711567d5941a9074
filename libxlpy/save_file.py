"""Write a save file so that its name never holds half a domain.

``SaveFile`` checks the target before anything is done to the guest, and all that the
end will need, writes the xl
header and configuration to ``NAME.partial``, hands out the descriptor for the stream,
and puts the file in its place only when every byte is on the disk:

    with SaveFile(path, head) as file:      # raises before the guest is touched
        ...                                 # the stream is written to file.fd
        file.commit()                       # fsync, rename, fsync of the directory

Without ``commit`` the partial file goes and the old NAME stays as it was. The partial
file is locked while it is written: that of a dead writer is replaced, that of a living
one is left alone. Targets that are no regular file (/dev/null, a pipe, a block device)
are written in place, as `xl save` does.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from libxlpy_protocol.errors import LibxlpyError

Answer = TypeVar("Answer")

#: Of a file being written; a reader must never take it for a whole one.
PARTIAL_SUFFIX = ".partial"
#: Owner only: a save file holds the guest's memory, keys and passwords included.
FILE_MODE = 0o600
#: Tries at taking the partial name while others come and go.
CLAIM_TRIES = 16
#: Seconds to wait for a writer that is leaving: one that was killed holds its lock
#: until the kernel has taken it apart, a helper without its parent leaves within two.
FREE_WITHIN = 3.0
#: Seconds between two looks whether it has gone.
LOOK_AGAIN = 0.05
#: What says that a file system has no such thing: FUSE, CIFS, pipes, a server's locks.
NOT_THERE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EROFS, errno.ENOLCK)
#: fsync of a folder is refused by these, too, where there is none or only for files.
NO_FOLDER_SYNC = (*NOT_THERE, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)
#: Something that is no partial file is at its name.
IN_THE_WAY = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES, errno.EPERM)
#: Linux, include/uapi/linux/fs.h: _IOR('f', 1, long), and of its answer, as of chattr.
FS_IOC_GETFLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
FS_IMMUTABLE_FL, FS_APPEND_FL = 0x10, 0x20


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


class SaveFile:
    """One save file while it is written; use with ``with``.

    Attributes:
        path: The file as the caller named it.
        fd: Where the stream goes; ours, closed at the end of the ``with``.
        partial: The file being written until then; None if written in place.
        committed: The whole file is in its place.
    """

    def __init__(self, path: Path | str, head: bytes) -> None:
        """Check the target, open it, write ``head`` (xl header and configuration).

        Raises:
            SaveFileError: It can't be written; nothing was changed.
        """
        self.path = Path(path)
        self.fd = -1
        self.partial: Path | None = None
        self.committed = False
        self._dir_fd = -1
        self._name = ""
        try:
            self._open()
            _write_all(self.fd, head)
        except OSError as exc:
            self.close()
            raise SaveFileError(self.path, _reason_of(exc), exc.errno) from exc
        except SaveFileError:
            self.close()
            raise

    @classmethod
    async def when_free(
        cls, path: Path | str, head: bytes, seconds: float = FREE_WITHIN
    ) -> Self:
        """Do the same, but give a writer that is there a moment to leave.

        Raises:
            SaveFileError: As of the constructor; the writer has not left in time.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                return await cls._opened(path, head)
            except FileInUseError:
                if time.monotonic() >= until:
                    raise
            await asyncio.sleep(LOOK_AGAIN)

    @classmethod
    async def _opened(cls, path: Path | str, head: bytes) -> Self:
        """Do the same beside the loop; leaves nothing if cancelled meanwhile."""
        opening = asyncio.create_task(asyncio.to_thread(cls, path, head))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(SaveFileError):
                await asyncio.to_thread((await opening).close)
            raise

    async def __aenter__(self) -> Self:
        """Return itself, see :meth:`when_free`."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As the end of a ``with``, beside the loop."""
        await asyncio.shield(asyncio.to_thread(self.close))

    def __enter__(self) -> Self:
        """Return itself: all was opened by the constructor."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; drop the partial file if it was not committed."""
        self.close()

    def commit(self) -> None:
        """Put the whole file in its place.

        Raises:
            SaveFileError: The disk or the rename failed; the old file is untouched,
                unless ``in_place``.
        """
        renamed = False
        try:
            _sync(self.fd)
            if self.partial is not None:
                self._rename()
                renamed = True
                sync_folder(self._dir_fd)
        except OSError as exc:
            raise SaveFileError(
                self.path, _reason_of(exc), exc.errno, in_place=renamed
            ) from exc
        self.committed = True

    def close(self) -> None:
        """Close all descriptors and remove what is left of the partial file."""
        if self.partial is not None and not self.committed:
            # What ended the save counts; the next one to this name removes the rest.
            with contextlib.suppress(OSError):
                self._remove_partial()
        for fd in (self.fd, self._dir_fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self._dir_fd = -1

    # ---- steps, in order -------------------------------------------------------

    def _open(self) -> None:
        try:
            target = self.path.stat()
        except FileNotFoundError:
            target = None
        if target is not None and stat.S_ISDIR(target.st_mode):
            raise SaveFileError(self.path, "it is a directory; name a file in it")
        if target is not None and not stat.S_ISREG(target.st_mode):
            self.fd = _open_in_place(self.path, target)
            return
        final = self.path.resolve()  # the file behind a symlink, not the symlink
        self._open_directory(final.parent)
        self._name = final.name
        self._check_directory(final.parent)
        if target is not None:
            self._check_replaceable(target)
        partial = final.name + PARTIAL_SUFFIX
        self._rehearse(partial)
        self.fd = self._claim(partial)
        self.partial = final.with_name(partial)

    def _open_directory(self, directory: Path) -> None:
        try:
            self._dir_fd = os.open(
                directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        except FileNotFoundError:
            reason = f"directory {directory} does not exist; create it first"
        except NotADirectoryError:
            reason = f"{directory} is not a directory"
        else:
            return
        raise SaveFileError(self.path, reason, errno.ENOENT)

    # What follows would fail at the rename, too, but only after a whole save.

    def _check_directory(self, directory: Path) -> None:
        flags = _flags(self._dir_fd)
        if flags & (FS_APPEND_FL | FS_IMMUTABLE_FL):
            which = "a" if flags & FS_APPEND_FL else "i"
            reason = f"nothing can be replaced in {directory}; chattr -{which} it"
            raise SaveFileError(self.path, reason, errno.EPERM)

    def _check_replaceable(self, target: os.stat_result) -> None:
        directory = os.fstat(self._dir_fd)
        owners = (0, target.st_uid, directory.st_uid)
        if directory.st_mode & stat.S_ISVTX and os.geteuid() not in owners:
            raise SaveFileError(
                self.path, "it belongs to another user in a sticky directory"
            )
        if self._of_target(os.O_PATH, _mount_of) != _mount_of(self._dir_fd):
            reason = "something is mounted there; unmount it or choose another name"
            raise SaveFileError(self.path, reason, errno.EBUSY)
        try:
            flags = self._of_target(os.O_RDONLY | os.O_NONBLOCK, _flags)
        except PermissionError:
            return  # nobody tells us; it need not be readable to be replaced
        if flags & (FS_APPEND_FL | FS_IMMUTABLE_FL):
            which = "a" if flags & FS_APPEND_FL else "i"
            reason = f"it can't be replaced; chattr -{which} it or choose another name"
            raise SaveFileError(self.path, reason, errno.EPERM)

    def _of_target(self, flags: int, ask: Callable[[int], Answer]) -> Answer:
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._name, flags, dir_fd=self._dir_fd)
        try:
            return ask(fd)
        finally:
            os.close(fd)

    def _rehearse(self, name: str) -> None:
        """See that what is made in the directory can go, which the rename needs."""
        fd = self._claim(name)
        try:
            if self._is_at(fd, name):
                os.unlink(name, dir_fd=self._dir_fd)
        except OSError as exc:
            reason = f"{name} was made and can't be renamed: {exc.strerror}"
            text = f"{reason}; choose another directory"
            raise SaveFileError(self.path, text, exc.errno) from exc
        finally:
            os.close(fd)

    def _claim(self, name: str) -> int:
        for _ in range(CLAIM_TRIES):
            self._remove_stale(name)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                fd = os.open(name, flags, FILE_MODE, dir_fd=self._dir_fd)
            except FileExistsError:
                continue
            try:
                if lock(fd) is not False and self._is_at(fd, name):
                    return fd
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self._dir_fd)
                os.close(fd)
                raise
            os.close(fd)  # another writer took it for a stale one: it is theirs
        raise SaveFileError(self.path, f"{name} keeps coming back; try again")

    def _remove_stale(self, name: str) -> None:
        # for writing: an exclusive lock needs that on NFS
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, dir_fd=self._dir_fd)
        except FileNotFoundError:
            return
        except OSError as exc:
            if exc.errno not in IN_THE_WAY:
                raise
            reason = f"{name} is in the way ({os.strerror(exc.errno or 0)}); remove it"
            raise SaveFileError(self.path, reason, exc.errno) from exc
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise SaveFileError(self.path, f"{name} is no regular file; remove it")
            locked = lock(fd)
            if locked is None:
                reason = f"{name} is there, and no lock can tell whether it is written"
                raise SaveFileError(self.path, f"{reason}; remove it if no save runs")
            if not locked:
                raise FileInUseError(self.path, f"another process is writing {name}")
            if self._is_at(fd, name):  # only the lock holder may unlink it
                os.unlink(name, dir_fd=self._dir_fd)
        finally:
            os.close(fd)

    def _is_at(self, fd: int, name: str) -> bool:
        try:
            there = os.stat(name, dir_fd=self._dir_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(fd))

    def _rename(self) -> None:
        os.rename(
            self._name + PARTIAL_SUFFIX,
            self._name,
            src_dir_fd=self._dir_fd,
            dst_dir_fd=self._dir_fd,
        )
        self.partial = None

    def _remove_partial(self) -> None:
        name = self._name + PARTIAL_SUFFIX
        if self._is_at(self.fd, name):
            os.unlink(name, dir_fd=self._dir_fd)
        self.partial = None


# ----- the calls it makes ----------------------------------------------------------


def _open_in_place(path: Path, target: os.stat_result) -> int:
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


def _flags(fd: int) -> int:
    """Give what chattr has set; 0 if the file system has no such thing."""
    size = struct.calcsize("l")
    try:
        answer = fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(size))
    except OSError:
        return 0
    return int.from_bytes(answer[:4], sys.byteorder)  # an int, whatever its name says


def _mount_of(fd: int) -> str | None:
    """Give the number of the mount that a descriptor is on; None without /proc."""
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    except OSError:
        return None
    return next((line for line in lines if line.startswith("mnt_id:")), None)


def _write_all(fd: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync(fd: int) -> None:
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


def _reason_of(exc: OSError) -> str:
    """Give what is wrong, and what to do about it."""
    text = os.strerror(exc.errno) if exc.errno else str(exc)
    match exc.errno:
        case errno.EACCES | errno.EPERM:
            return f"{text}; run as a user who may write there"
        case errno.ENAMETOOLONG:
            return f"{text} with {PARTIAL_SUFFIX} behind it; choose a shorter one"
        case errno.ENOSPC | errno.EDQUOT:
            return f"{text}; free some space or choose another place"
        case _:
            return text
