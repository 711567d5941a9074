"""Stop libxenlight while it restores a domain.

It can't be told to from another thread. But it gives up, and removes what it has
built, when its save helper fails: which is a program of ours that cleans up on SIGTERM.
"""

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from libxlpy_helper.abort import Abort
from libxlpy_helper.control_loop import STOP_AND_COPY

RESTORES = b"--restore-domain"
#: Its arguments are the stream, the way back, the domain ...
DOMID_AFTER = 3


class BuildAbort(Abort):
    """As the base class; the streams are libxenlight's and stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[int] = set()

    def guard(self, streams: Iterable[int]) -> None:
        """Leave the streams alone."""

    def request(self) -> None:
        """Note it; :meth:`kick` does the rest, again and again."""
        self.requested = self.is_pressing = True

    def end_streams(self) -> None:
        """Have the save helper find its stream at its end, if it has not by itself."""
        for pid in restoring():
            os.kill(pid, STOP_AND_COPY)

    def kick(self) -> None:
        """Tell a save helper that runs to stop; each of them once."""
        for pid in restoring():
            if pid not in self._told:
                self._told.add(pid)
                os.kill(pid, signal.SIGTERM)


def restoring() -> Iterator[int]:
    """Yield the save helpers of the main thread that restore."""
    return (pid for pid in _children() if RESTORES in _argv(pid))


def restored_domid() -> int | None:
    """Give the domain whose memory is being read; None while there is none."""
    for pid in _children():
        argv = _argv(pid)
        if RESTORES in argv:
            return int(argv[argv.index(RESTORES) + DOMID_AFTER])
    return None


def _children() -> list[int]:
    """Return the children of the main thread, which only that thread can reap.

    One that ends meanwhile may be reaped, and its id be another's; so late a signal
    can only be sent within the same turn, and is to one that looks like ours.
    """
    pid = os.getpid()
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _argv(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
