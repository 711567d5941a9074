"""One save file while it is written: opened, checked, put in its place."""

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from libxlpy.aio import finish
from libxlpy.errors import UsageError, reason_of
from libxlpy.folders import others_may_write, trusted
from libxlpy.forked import Owned, lead_nowhere
from libxlpy.save_file.beside import bounded, closed, opened
from libxlpy.save_file.calls import (
    FS_APPEND_FL,
    FS_IMMUTABLE_FL,
    HELPS,
    chattr_flags,
    lock,
    mount_of,
    sync,
    sync_folder,
    write_all,
)
from libxlpy.save_file.errors import FileInUseError, SaveFileError
from libxlpy.save_file.place import find, open_given, open_in_place

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
#: Seconds for a disk to put it in place, all bytes of which the helper has synced.
COMMIT_WITHIN = 60.0
#: Seconds between two looks whether it has gone.
LOOK_AGAIN = 0.05
#: Something that is no partial file is at its name.
IN_THE_WAY = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES, errno.EPERM)


class SaveFile(Owned):
    """One save file while it is written; use with ``with``.

    Attributes:
        path: The file as the caller named it.
        partial: The file being written until then; None if written in place.
        committed: The whole file is in its place.
    """

    def __init__(self, path: Path | str, head: bytes) -> None:
        """Check the target, open it, write ``head`` (xl header and configuration).

        Raises:
            SaveFileError: It can't be written; nothing was changed.
        """
        super().__init__()
        self.path = Path(path)
        if str(path).endswith(("/", "/.")):  # which a Path leaves out
            raise SaveFileError(self.path, "it names a folder; name a file in it")
        self._fd = -1
        self.partial: Path | None = None
        self.committed = False
        self._dir_fd = -1
        self._name = ""
        self._flags = 0
        #: Held while the file is put in place, or goes.
        self._busy = threading.Lock()
        self._given_up = False
        try:
            self._open()
            write_all(self._fd, head)
        except OSError as exc:
            self.close()
            raise SaveFileError(self.path, reason_of(exc, HELPS), exc.errno) from exc
        except SaveFileError:
            self.close()
            raise

    @property
    def fd(self) -> int:
        """Where the stream goes; ours, closed at the end of the ``with``.

        Raises:
            UsageError: It is closed.
        """
        if self._fd < 0:
            raise UsageError(f"{self.path} is closed: make a SaveFile anew")
        return self._fd

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
                return await opened(Path(path), lambda: cls(path, head))
            except FileInUseError:
                if time.monotonic() >= until:
                    raise
            await asyncio.sleep(LOOK_AGAIN)

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
        if not self.is_ours:  # a child has no loop that runs
            self.close()
            return
        # What ended the save counts; the next one to this name removes the rest.
        with contextlib.suppress(SaveFileError):
            await finish(asyncio.create_task(closed(self.path, self)))

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

    async def put_in_place(self) -> None:
        """Do :meth:`commit` beside the loop, to its end even if cancelled.

        Half a commit is no state for a file. One that was given up replaces nothing
        when its disk answers later, unless the rename itself is what takes so long.

        Raises:
            SaveFileError: As of :meth:`commit`; or the disk does not answer.
            UsageError: It is closed.
        """
        beside = self.partial is not None
        done = bounded(self.path, self.commit, COMMIT_WITHIN)
        try:
            await finish(asyncio.create_task(done))
        except SaveFileError as exc:
            self._given_up = True
            in_place = beside and self.partial is None
            raise SaveFileError(
                self.path, exc.reason, exc.errno, in_place=in_place
            ) from exc

    def commit(self) -> None:
        """Put the whole file in its place.

        Raises:
            SaveFileError: The disk or the rename failed; the old file is untouched,
                unless ``in_place``.
            UsageError: It is closed.
        """
        if not self.is_ours:
            raise SaveFileError(self.path, "the process that writes it is another one")
        renamed = False
        with self._busy:
            try:
                sync(self.fd)
                if self._given_up:
                    return
                if self.partial is not None:
                    self._rename()
                    renamed = True
                    sync_folder(self._dir_fd)
            except OSError as exc:
                raise SaveFileError(
                    self.path, reason_of(exc, HELPS), exc.errno, in_place=renamed
                ) from exc
            self.committed = True

    def disown(self) -> None:
        """Close nothing but our copies, remove nothing: the parent writes it."""
        self._busy = threading.Lock()
        self.partial = None
        self._flags = 0
        lead_nowhere([self._fd, self._dir_fd])

    def close(self) -> None:
        """Close all descriptors and remove what is left of the partial file."""
        with self._busy:
            self._close()

    def _close(self) -> None:
        if self.partial is not None and not self.committed:
            # What ended the save counts; the next one to this name removes the rest.
            with contextlib.suppress(OSError):
                self._remove_partial()
        if self._flags & os.O_NONBLOCK:  # of the open file, which was given to us
            fcntl.fcntl(self._fd, fcntl.F_SETFL, self._flags)
            self._flags = 0
        for fd in (self._fd, self._dir_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._dir_fd = -1

    # ---- steps, in order -------------------------------------------------------

    def _open(self) -> None:
        place = find(self.path)
        self._dir_fd, self._name, target, of_kernel = place
        if target is not None and stat.S_ISDIR(target.st_mode):
            raise SaveFileError(self.path, "it is a directory; name a file in it")
        if of_kernel:
            self._fd = open_given(self.path, place)
        if self._fd >= 0:
            self._flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            os.set_blocking(self._fd, True)
        elif target is not None and not stat.S_ISREG(target.st_mode):
            self._fd = open_in_place(self.path, place)
        else:
            self._open_beside(target)

    def _open_beside(self, target: os.stat_result | None) -> None:
        directory = Path(f"/proc/self/fd/{self._dir_fd}").readlink()
        folder = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._dir_fd)
        os.close(self._dir_fd)
        self._dir_fd = folder
        self._check_directory(directory)
        if target is not None:
            self._check_replaceable(target)
        partial = self._name + PARTIAL_SUFFIX
        self._rehearse(partial)
        self._fd = self._claim(partial)
        self.partial = directory / partial

    # What follows would fail at the rename, too, but only after a whole save.

    def _check_directory(self, directory: Path) -> None:
        flags = chattr_flags(self._dir_fd)
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
        if self._of_target(os.O_PATH, mount_of) != mount_of(self._dir_fd):
            reason = "something is mounted there; unmount it or choose another name"
            raise SaveFileError(self.path, reason, errno.EBUSY)
        try:
            flags = self._of_target(os.O_RDONLY | os.O_NONBLOCK, chattr_flags)
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
        partial = self._name + PARTIAL_SUFFIX
        self._check_at(partial)
        os.rename(partial, self._name, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        self._check_at(self._name)
        self.partial = None

    def _check_at(self, name: str) -> None:
        """See that what has a name is what we have written, where that can change."""
        folder = os.fstat(self._dir_fd)
        sticky = folder.st_mode & stat.S_ISVTX and trusted(folder.st_uid)
        if sticky or not others_may_write(folder) or self._is_at(self._fd, name):
            return
        reason = f"another user has changed {name}; choose a folder of your own"
        raise SaveFileError(self.path, reason, errno.ESTALE)

    def _remove_partial(self) -> None:
        name = self._name + PARTIAL_SUFFIX
        if self._is_at(self._fd, name):
            os.unlink(name, dir_fd=self._dir_fd)
        self.partial = None
