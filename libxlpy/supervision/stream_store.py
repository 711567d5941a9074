"""Streams of running jobs, kept by the supervisor for the daemon's next life.

Only what has another end is kept, sockets and pipes: were the daemon killed, its peers
would see the end of the stream and take it for the job's. A regular file is found by
its name and must not be held: whoever holds it is taken for its writer.
"""

import os
import stat
from collections.abc import Mapping
from typing import Any

from libxlpy.errors import UsageError
from libxlpy.jobs.job import Job
from libxlpy.supervision.notifier import Notifier

#: Before a job's name: the supervisor may keep descriptors of other kinds, too.
PREFIX = "libxlpy-"


class StreamStore:
    """What the supervisor keeps, and what it has handed back."""

    def __init__(
        self, notifier: Notifier, room: int, handed: Mapping[str, int]
    ) -> None:
        """Take what was handed back.

        Args:
            notifier: The way to the supervisor.
            room: Descriptors that it keeps at most; 0 if none.
            handed: Name -> descriptor, those of jobs among them.

        Raises:
            UsageError: One of them is not open.
        """
        self._notifier = notifier
        self._room = room
        self._handed = {
            name.removeprefix(PREFIX): fd
            for name, fd in handed.items()
            if name.startswith(PREFIX)
        }
        for fd in self._handed.values():
            _check_in(fd)
        #: Names of jobs whose streams it has, and those it is to forget.
        self._kept = set(self._handed)
        self._unwanted: set[str] = set()
        #: Jobs whose streams it could not take yet.
        self._waiting: list[Job[Any]] = []

    # ----- of this life -----------------------------------------------------------

    def keep(self, job: Job[Any]) -> None:
        """Have a job's stream kept, if that is of use and there is room."""
        if self._room and _has_another_end(job.stream_fd):
            self._waiting.append(job)
            self.settle()

    def drop(self, name: str) -> None:
        """Have a job's stream forgotten: its other end sees the end."""
        self._waiting = [job for job in self._waiting if job.name != name]
        if name in self._kept:
            self._unwanted.add(name)
            self.settle()

    def settle(self) -> None:
        """Tell the supervisor what it could not take before."""
        for name in sorted(self._unwanted):
            if self._notifier.send("FDSTOREREMOVE=1", f"FDNAME={PREFIX}{name}"):
                self._unwanted.discard(name)
                self._kept.discard(name)
        self._waiting = [job for job in self._waiting if not self._sent(job)]

    def _sent(self, job: Job[Any]) -> bool:
        """Send a job's stream; tell whether nothing is left to do."""
        fd = job.stream_fd
        if fd < 0:
            return True  # it is about to end
        if len(self._kept) >= self._room:
            return False
        told = ("FDSTORE=1", f"FDNAME={PREFIX}{job.name}")
        if not self._notifier.send(*told, fd=fd):
            return False
        self._kept.add(job.name)
        return True

    # ----- of the last one --------------------------------------------------------

    def take(self, name: str) -> int | None:
        """Give a stream that was handed back, once; it is the caller's to close."""
        fd = self._handed.pop(name, None)
        if fd is not None:
            self.drop(name)
        return fd

    def close(self) -> None:
        """Close the streams that nobody has taken: their other ends see the end."""
        for name in list(self._handed):
            if (fd := self.take(name)) is not None:
                os.close(fd)


def _check_in(fd: int) -> None:
    try:
        os.set_inheritable(fd, False)
    except OSError as exc:
        text = f"LISTEN_FDS: descriptor {fd} of a stream that was kept is not open"
        raise UsageError(text) from exc


def _has_another_end(fd: int) -> bool:
    if fd < 0:
        return False
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
