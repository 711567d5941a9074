"""The folder of the jobs of one machine: an entry and a lock for each domain in use.

``7.lock`` is held by flock by whoever works on domain 7, so it is free the moment that
process dies, however it dies; who holds it is written in it. ``7.json`` is the entry of
the job, replaced as a whole each time; ``7.life`` proves that its process lives, which
for a guest that was saved goes on after the lock was given free.

Nothing waits for a disk here: an entry must outlive its process, which a written file
does, and not the machine, which takes the domains along.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import stat
from pathlib import Path
from typing import Self

from libxlpy.errors import BackendError, reason_of
from libxlpy.forked import Owned
from libxlpy.journal.entry import ENTRY_MAX, Entry
from libxlpy.journal.life import Life, is_own, lives, told
from libxlpy.journal.told import decode
from libxlpy.results.figures import JobFigures
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.json_text import parse_object
from libxlpy_protocol.value import Value

NAME = re.compile(r"([0-9]{1,5})\.(json|lock|life|json\.new|life\.new)")
#: What only a holder that was killed leaves.
LEFT = (".json.new", ".life.new")
FILE_MODE, FOLDER_MODE = 0o600, 0o700
OTHERS = 0o077
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
OVER = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class JournalBroken(LibxlpyError):  # noqa: N818 - says what was found
    """An entry can't be read, or is not ours to trust; it is not touched."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"journal {path} {reason}")


class Holder(Value):
    """Who holds a lock, and for what."""

    what: str
    job: str
    pid: int


class Locked(Exception):  # noqa: N818 - says what was found
    """Somebody else works on the domain.

    Attributes:
        holder: Who; None in the moment before they have told.
    """

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


class Folder:
    """The folder of the jobs, made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Have it there, and ours.

        Raises:
            BackendError: It can't be made, or others could put entries there.
        """
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.path.mkdir(mode=FOLDER_MODE)
        except OSError as exc:
            text = f"can't make the folder of jobs {self.path}: {reason_of(exc)}"
            raise BackendError(text) from exc
        self.check()

    def check(self) -> bool:
        """Tell whether it is there.

        Raises:
            BackendError: Others could put entries there.
        """
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(status.st_mode):
            raise BackendError(f"{self.path} is no folder: remove it")
        if status.st_uid != os.geteuid():
            text = f"belongs to user {status.st_uid}: run as that user"
            raise BackendError(f"folder of jobs {self.path} {text}")
        if status.st_mode & OTHERS:
            text = f"is open to others: chmod 0700 {self.path}"
            raise BackendError(f"folder of jobs {self.path} {text}")
        return True

    def domids(self) -> list[int]:
        """Give the domains of which there are entries, lowest first.

        Raises:
            BackendError: It can't be read; or as of :meth:`check`.
        """
        return sorted(int(name[1]) for name in self._names() if name[2] == "json")

    def _names(self) -> list[re.Match[str]]:
        """Give the names of what is ours in it.

        Raises:
            BackendError: It can't be read; or as of :meth:`check`.
        """
        if not self.check():
            return []
        try:
            found = [NAME.fullmatch(path.name) for path in self.path.iterdir()]
        except FileNotFoundError:
            return []  # it went with its host
        except OSError as exc:
            text = f"can't read the folder of jobs {self.path}: {reason_of(exc)}"
            raise BackendError(text) from exc
        return [name for name in found if name]

    def read(self, domid: int) -> Entry | None:
        """Give a domain's entry, None if there is none.

        Raises:
            JournalBroken: There is one that can't be used.
            BackendError: There may be no more descriptors; it may be a good one.
        """
        path = self.path / f"{domid}.json"
        try:
            data = _read_own(path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            text = f"can't be read: {reason_of(exc)}"
            if exc.errno in (errno.EMFILE, errno.ENFILE):
                raise BackendError(f"journal {path} {text}") from exc
            raise JournalBroken(path, text) from exc
        try:
            entry = Entry.decode(data)
        except ValueError as exc:
            text = f"is damaged ({exc}): look at domain {domid}, then remove the file"
            raise JournalBroken(path, text) from exc
        if entry.domid != domid:
            raise JournalBroken(path, f"is about domain {entry.domid}: remove the file")
        return entry

    def lost(self, entry: Entry) -> bool:
        """Tell whether the process that ran a job is gone for certain."""
        try:
            return not lives(self.path / f"{entry.domid}.life")
        except OSError:
            return False  # what can't be proved is not so

    def figures(self, entry: Entry) -> JobFigures | None:
        """Give how far a job is, as its process has told; None if that is not known."""
        try:
            return decode(told(self.path / f"{entry.domid}.life"))
        except OSError:
            return None

    def is_own(self, entry: Entry) -> bool:
        """Tell whether a job is one of this process."""
        return is_own(self.path / f"{entry.domid}.life")

    def lock(self, domid: int) -> "Lock":
        """Take a domain; never waits.

        Raises:
            Locked: Somebody else has it.
            BackendError: The folder or the lock can't be used.
        """
        self.make()
        path = self.path / f"{domid}.lock"
        try:
            lock = Lock(self, domid, _locked(path))
        except OSError as exc:
            raise BackendError(f"can't use {path}: {reason_of(exc)}") from exc
        lock.sweep()
        return lock

    def sweep(self) -> None:
        """Remove what killed processes have left of domains that have no entry.

        Raises:
            BackendError: As of :meth:`domids`.
        """
        there = self._names()
        entries = {int(name[1]) for name in there if name[2] == "json"}
        for domid in {int(name[1]) for name in there} - entries:
            with contextlib.suppress(Locked, BackendError):  # the next one does it
                self.lock(domid).release()

    def clear(self) -> None:
        """Remove all that is ours, and the folder if nothing else is in it."""
        with contextlib.suppress(FileNotFoundError):
            for path in list(self.path.iterdir()):
                if NAME.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something else is in it
                self.path.rmdir()


class Lock(Owned):
    """One domain, held; only its holder writes or removes the domain's entry."""

    def __init__(self, folder: Folder, domid: int, fd: int) -> None:
        super().__init__()
        self.folder = folder
        self.domid = domid
        self._fd = fd
        self._path = folder.path / f"{domid}.json"

    def disown(self) -> None:
        """Let go of the descriptor, which would keep a dead parent's lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the domain free."""
        self.release()

    def tell(self, what: str, job: str = "") -> None:
        """Write down who holds it, for those that it is in the way of.

        A courtesy: what comes next does not depend on a disk.
        """
        holder = Holder(what, job, os.getpid())
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, json.dumps(vars(holder)).encode(), 0)

    def begin(self, entry: Entry) -> Life:
        """Write the entry of a job that is our own, with the proof that we live.

        Raises:
            OSError: It can't be written; the old one is as it was.
        """
        self._check_held()
        new = self._path.with_suffix(".life.new")
        life = Life(new)
        try:
            self.write(entry)
            new.replace(self._path.with_suffix(".life"))
        except BaseException:
            life.close()
            new.unlink(missing_ok=True)
            raise
        return life

    def read(self) -> Entry | None:
        """Give the domain's entry; see :meth:`Folder.read`."""
        return self.folder.read(self.domid)

    def write(self, entry: Entry) -> None:
        """Replace the domain's entry.

        Raises:
            OSError: It can't be written; the old one is as it was.
        """
        self._check_held()
        new = self._path.with_suffix(".json.new")
        fd = os.open(new, WRITE, FILE_MODE)
        try:
            _write(fd, entry.encode())
            new.replace(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        finally:
            os.close(fd)

    def rewrite(self, entry: Entry) -> None:
        """Replace the entry of a job under way; on a full disk write it over.

        Raises:
            OSError: It can't be written.
        """
        self._check_held()
        try:
            self.write(entry)
        except OSError:
            fd = os.open(self._path, OVER)
            try:
                data = entry.encode()
                _write(fd, data.ljust(os.fstat(fd).st_size))
            finally:
                os.close(fd)

    def sweep(self) -> None:
        """Remove what a killed holder had half written, or half removed."""
        with contextlib.suppress(OSError):
            for kind in LEFT if self._path.exists() else (*LEFT, ".life"):
                self._path.with_suffix(kind).unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove the domain's entry: nothing is left to do.

        Raises:
            OSError: It can't be removed.
        """
        self._check_held()
        self._path.unlink(missing_ok=True)
        self._path.with_suffix(".life").unlink(missing_ok=True)

    def _check_held(self) -> None:
        if self._fd < 0:
            raise OSError(errno.EBADF, "its lock is not held")

    def release(self) -> None:
        """Give the domain free; idempotent."""
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):  # the folder went with its host
            if not self._path.exists():
                self._path.with_suffix(".lock").unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1


# ----- small things ---------------------------------------------------------------


def _locked(path: Path) -> int:
    """Open and lock a file; one that was removed meanwhile is no lock."""
    while True:
        fd = os.open(path, LOCK, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(fd, path):
                return fd
        except BlockingIOError:
            holder = _holder(fd)
            os.close(fd)
            raise Locked(holder) from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _write(fd: int, data: bytes) -> None:
    """Write a file.

    Raises:
        OSError: The disk did not take it, or not all.
    """
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_at(fd: int, path: Path) -> bool:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    own = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)


def _holder(fd: int) -> Holder | None:
    try:
        value = parse_object(os.pread(fd, ENTRY_MAX, 0))
        return Holder(str(value["what"]), str(value["job"]), int(value["pid"]))
    except (ValueError, KeyError, TypeError):
        return None


def _read_own(path: Path) -> bytes:
    """Read a file that nobody else could have written.

    Raises:
        OSError: It is not there or can't be read.
        JournalBroken: It is somebody else's.
    """
    fd = os.open(path, READ)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise JournalBroken(path, "is no regular file: remove it")
        own = status.st_uid == os.geteuid()
        if not own or status.st_mode & OTHERS:
            text = f"is not ours alone (user {status.st_uid}): remove the file"
            raise JournalBroken(path, text)
        return os.read(fd, ENTRY_MAX)
    finally:
        os.close(fd)
