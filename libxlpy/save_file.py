"""Write a save file so that its name never holds half a domain.

``SaveFile`` checks the target before anything is done to the guest, writes the xl
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
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from libxlpy_protocol.errors import LibxlpyError

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
                os.fsync(self._dir_fd)
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
        self._check_replaceable(target)
        self._name = final.name
        self.fd = self._claim(final.name + PARTIAL_SUFFIX)
        self.partial = final.with_name(final.name + PARTIAL_SUFFIX)

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

    def _check_replaceable(self, target: os.stat_result | None) -> None:
        # in a sticky directory the rename would fail, but only after a whole save
        directory = os.fstat(self._dir_fd)
        if target is None or not directory.st_mode & stat.S_ISVTX:
            return
        if os.geteuid() not in (0, target.st_uid, directory.st_uid):
            raise SaveFileError(
                self.path, "it belongs to another user in a sticky directory"
            )

    def _claim(self, name: str) -> int:
        for _ in range(CLAIM_TRIES):
            self._remove_stale(name)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                fd = os.open(name, flags, FILE_MODE, dir_fd=self._dir_fd)
            except FileExistsError:
                continue
            if _lock(fd) and self._is_at(fd, name):
                return fd
            os.close(fd)  # another writer took it for a stale one: it is theirs
        raise SaveFileError(self.path, f"{name} keeps coming back; try again")

    def _remove_stale(self, name: str) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, dir_fd=self._dir_fd)
        except FileNotFoundError:
            return
        except OSError as exc:
            reason = f"{name} is in the way ({os.strerror(exc.errno or 0)}); remove it"
            raise SaveFileError(self.path, reason, exc.errno) from exc
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise SaveFileError(self.path, f"{name} is no regular file; remove it")
            if not _lock(fd):
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


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
        if exc.errno not in (errno.EINVAL, errno.EROFS):  # pipes, character devices
            raise


def _reason_of(exc: OSError) -> str:
    """Give what is wrong, and what to do about it."""
    text = os.strerror(exc.errno) if exc.errno else str(exc)
    match exc.errno:
        case errno.EACCES | errno.EPERM:
            return f"{text}; run as a user who may write there"
        case errno.ENOSPC | errno.EDQUOT:
            return f"{text}; free some space or choose another place"
        case _:
            return text
