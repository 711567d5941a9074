"""How far the operation is: written by the main thread, read for each heartbeat.

libxc tells pages and iterations by its progress messages, but no bytes. Those are the
stream's position where it has one, else what the kernel counts for the main thread.
"""

from __future__ import annotations

import os
import resource
import stat
import time

from libxlpy_helper.outbox import Outbox
from libxlpy_protocol.fields import NAME_MAX, clip
from libxlpy_protocol.messages import Progress, Stat
from libxlpy_protocol.xen import PAGE_SIZE, VERIFIES, pass_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

IO_MAX: Final = 4096  # bytes of /proc/.../io; it has a hundred
REPORT_INTERVAL: Final = 0.1  # seconds between two messages about the same thing


class Stats:
    """The counters of one helper."""

    def __init__(self, statm: int, io: int) -> None:
        """Take the two files; see :func:`libxlpy_helper.harden.claim`."""
        self.phase = "start"
        self._dirty = -1  # pages that this iteration has to send, -1 = unknown
        self._iteration = 0
        self._pages_before = 0  # of the iterations that ended
        self._pages_now = 0
        self._meter: Meter | None = None
        self._statm = statm
        # Of the main thread, which is at the operation.
        self._io = io

    def close(self) -> None:
        """Close its descriptors."""
        os.close(self._statm)
        os.close(self._io)

    def measure(
        self, stream_fd: int, *, writing: bool, apart: Callable[[], int]
    ) -> None:
        """Count bytes of this stream from now on.

        Args:
            stream_fd: The stream.
            writing: Written, else read.
            apart: Tells how many bytes the kernel has not counted, as they were taken
                out of the stream by splice, less those that were no stream's.
        """
        field = "wchar" if writing else "rchar"
        self._meter = Meter(stream_fd, self._io, field, apart)

    def progress(self, doing_what: str, done: int, total: int) -> None:
        """Take a progress message of libxc: pages done of those to send."""
        number = pass_of(doing_what)
        if number is None or number == VERIFIES:
            return
        iteration = max(number, 0)
        if iteration != self._iteration or done < self._pages_now:
            self._pages_before += self._pages_now
            self._iteration = iteration
        self._pages_now = done
        if number >= 0:  # a precopy iteration
            self._dirty = total

    def stat(self, dropped: int) -> Stat:
        """Return the heartbeat of this moment; ``dropped`` log lines were lost."""
        pages = self._pages_before + self._pages_now
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Stat(
            monotonic_ns=time.monotonic_ns(),
            phase=clip(self.phase, NAME_MAX),
            bytes_done=0 if self._meter is None else self._meter.bytes_done(),
            pages=pages,
            iteration=self._iteration,
            dirty=self._dirty,
            utime_us=int(usage.ru_utime * 1e6),
            stime_us=int(usage.ru_stime * 1e6),
            rss_kib=self._rss_kib(),
            dropped=dropped,
        )

    def _rss_kib(self) -> int:
        resident = os.pread(self._statm, 256, 0).split()[1]
        return int(resident) * PAGE_SIZE // 1024


class Meter:
    """Bytes that went through one stream since it was made."""

    def __init__(
        self, fd: int, io_fd: int, field: str, apart: Callable[[], int]
    ) -> None:
        self._fd = fd
        self._apart = apart
        self._io_fd = io_fd
        self._field = field.encode()
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._last = 0
        self._looked = 0  # bytes that the last look at the kernel's counts has read
        self._start = 0
        self._start = self._position()
        if field == "rchar":  # by the thread whose reads are counted
            self._start += self._looked

    def bytes_done(self) -> int:
        """Return the count; it never goes back, and stays when the stream is cut."""
        try:
            done = self._position() - self._start
        except OSError:
            return self._last
        self._last = max(self._last, done)
        return self._last

    def _position(self) -> int:
        if self._is_file:
            return os.lseek(self._fd, 0, os.SEEK_CUR)
        counts = os.pread(self._io_fd, IO_MAX, 0)
        self._looked = len(counts)
        for line in counts.splitlines():
            name, _, value = line.partition(b":")
            if name == self._field:
                return int(value) + self._apart()
        return self._start


class ProgressReport:
    """Tells the begin and the end of each thing that libxc does, and how far it is.

    At most so often: libxc reports every 1024 frames, and an HVM guest has a million of
    them in its first 4 GiB, most of which are none: a message for each would cost more
    than the frames do.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._said = ("", "")
        self._next = 0.0

    def tell(self, context: str, doing_what: str, done: int, total: int) -> None:
        """Take one report of libxc's."""
        what, now = (context, doing_what), time.monotonic()
        if what == self._said and done < total and now < self._next:
            return
        self._said, self._next = what, now + REPORT_INTERVAL
        context, doing_what = clip(context, NAME_MAX), clip(doing_what, NAME_MAX)
        self._outbox.put(Progress(context, doing_what, done, total))
