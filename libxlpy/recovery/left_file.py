"""The file that a dead process was writing a save to: put in its place, or removed.

It is known by inode and time of birth, never by its name alone, and touched only if it
is a ``NAME.partial`` that nobody has locked; see ``save_file`` for how it came to be.
Its folder is opened once for each act, and no link of another user's leads to it.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from libxlpy.aio import aside
from libxlpy.deadlines import Deadlines
from libxlpy.errors import BackendError
from libxlpy.folders import LOOK, open_folder
from libxlpy.journal import Stream
from libxlpy.journal.birth import birth_ns
from libxlpy.save_file import PARTIAL_SUFFIX, lock, sync_folder
from libxlpy.streams import Format, StreamRuleBroken, walk_to_end

Value = TypeVar("Value")

READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
#: For a lock: NFS refuses an exclusive one on what is open for reading only.
WRITE = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
#: Seconds between two looks at a file that is written.
LOOK_AGAIN = 0.05


class LeftFile:
    """What is left of one job's stream; all that waits for a disk is done in threads.

    Attributes:
        partial: NAME.partial while it is there; None if the stream went elsewhere.
        final: NAME, if it is the file of this job.
    """

    def __init__(self, stream: Stream, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.regular = stream.regular
        self.partial: Path | None = None
        self.final: Path | None = None
        self._stream = stream
        self._name: Path | None = None

    async def look(self, seconds: float) -> None:
        """Find out where the file is now.

        Args:
            seconds: For a writer to leave, of whose death nobody has told us.

        Raises:
            BackendError: Somebody writes it still.
            TimeoutError: Its disk does not answer.
            NotOursAlone: Another user's link leads to it by now.
        """
        end = time.monotonic() + seconds
        while not await aside(self._look, self._deadlines.repair):
            if time.monotonic() >= end:
                raise BackendError(f"{self._stream.path} is held by another process")
            await asyncio.sleep(LOOK_AGAIN)

    def _look(self) -> bool:
        """Look once; tell whether nobody writes it any more."""
        path = Path(self._stream.path)
        if not self._stream.regular:
            return True
        try:
            with self._folder() as folder:
                return self._look_in(folder, path)
        except FileNotFoundError:
            return True  # folder and all

    def _look_in(self, folder: int, path: Path) -> bool:
        if path.name.endswith(PARTIAL_SUFFIX):
            self._name = path.with_name(path.name.removesuffix(PARTIAL_SUFFIX))
            self.partial = path if self._is_ours(folder, path) else None
            self.final = self._name if self._is_ours(folder, self._name) else None
        elif self._is_ours(folder, path):
            self.final = path
        return self.partial is None or self._is_free(folder, self.partial)

    @contextmanager
    def _folder(self) -> Iterator[int]:
        folder = open_folder(Path(self._stream.path).parent)
        try:
            yield folder
        finally:
            os.close(folder)

    def _is_free(self, folder: int, path: Path) -> bool:
        """Tell whether nobody writes a file any more."""
        try:
            os.close(self._locked(folder, path))
        except BlockingIOError:
            return False
        except OSError:
            return True  # no lock can tell; its helpers are gone
        return True

    def _is_ours(self, folder: int, path: Path) -> bool:
        try:
            fd = os.open(path.name, LOOK, dir_fd=folder)
        except OSError:
            return False
        try:
            status = os.fstat(fd)
            birth = birth_ns(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        stream = self._stream
        found = (status.st_dev, status.st_ino, birth)
        return found == (stream.device, stream.inode, stream.birth_ns)

    async def whole(self) -> bool:
        """Tell whether the stream in the file is complete, by a walk to its end."""
        path = self.partial or self.final
        if path is None:
            return False
        return await self._aside(lambda: self._whole(path), self._deadlines.flush)

    def _whole(self, path: Path) -> bool:
        try:
            with self._folder() as folder:
                fd = os.open(path.name, READ, dir_fd=folder)
        except OSError:
            return False
        try:
            start = os.lseek(fd, self._stream.offset, os.SEEK_SET)
            length = walk_to_end(fd, Format.LIBXL).length
            return start + length == os.fstat(fd).st_size
        except (OSError, StreamRuleBroken):
            return False
        finally:
            os.close(fd)

    # ----- acts -------------------------------------------------------------------

    async def commit(self) -> None:
        """Put NAME.partial in its place, as ``SaveFile.commit`` does.

        Raises:
            OSError: The disk failed, or somebody else has the file.
        """
        await self._aside(self._commit, self._deadlines.flush)

    def _commit(self) -> None:
        assert self.partial is not None
        assert self._name is not None
        with self._folder() as folder:
            fd = self._locked(folder, self.partial)
            try:
                os.fsync(fd)
                old, new = self.partial.name, self._name.name
                os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
                self._check_ours(folder, self._name)
                self._sync(folder)
            finally:
                os.close(fd)
        self.partial, self.final = None, self._name

    def _sync(self, folder: int) -> None:
        fd = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            sync_folder(fd)
        finally:
            os.close(fd)

    async def remove(self) -> None:
        """Remove NAME.partial.

        Raises:
            OSError: It can't be removed, or somebody else has the file.
        """
        await self._aside(self._remove, self._deadlines.repair)

    def _remove(self) -> None:
        assert self.partial is not None
        with self._folder() as folder:
            fd = self._locked(folder, self.partial)
            try:
                os.unlink(self.partial.name, dir_fd=folder)
            finally:
                os.close(fd)
        self.partial = None

    async def _aside(self, work: Callable[[], Value], seconds: float) -> Value:
        """Do what waits for a disk.

        Raises:
            BackendError: It does not answer in so many seconds.
        """
        try:
            return await aside(work, seconds)
        except TimeoutError as exc:
            text = f"{self._stream.path}: its disk did not answer in {seconds:g} s"
            raise BackendError(text) from exc

    def _locked(self, folder: int, path: Path) -> int:
        fd = os.open(path.name, WRITE, dir_fd=folder)
        try:
            _take(fd, path)
            self._check_ours(folder, path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _check_ours(self, folder: int, path: Path) -> None:
        if not self._is_ours(folder, path):
            raise FileNotFoundError(f"{path} is another file now")


def _take(fd: int, path: Path) -> None:
    """Lock a file; where there are no locks it is free, as its helpers are gone."""
    if lock(fd) is False:
        raise BlockingIOError(f"{path} is held by another process")
