"""How much Xen's own helper has written, which it never tells.

Facts where there are some: the position in a file, which all who share the descriptor
move; else what the kernel counts for the process, less what it said to us.
"""

import os
import select
import stat

from libxlpy.process.link import Link
from libxlpy_protocol.messages import Progress
from libxlpy_protocol.xen import PAGE_SIZE, VERIFIES, pass_of


class LibxlMeter:
    """The figures of one helper on one stream."""

    def __init__(self, link: Link, stream_fd: int) -> None:
        # ----- results -----
        #: Pages sent, repeats counted, as it says.
        self.pages = 0
        self.iteration = 0
        # ----- private -----
        self._link = link
        self._fd = stream_fd
        self._is_file = stat.S_ISREG(os.fstat(stream_fd).st_mode)
        self._before = 0
        self._most = 0

    def progress(self, message: Progress) -> None:
        """Take what it says of its pages."""
        number = pass_of(message.doing_what)
        if number is None or number == VERIFIES:
            return
        iteration = max(number, 0)
        if iteration != self.iteration or self._before + message.done < self.pages:
            self._before = self.pages
            self.iteration = iteration
        self.pages = self._before + message.done

    def look(self, ours: int = 0) -> bool:
        """Look again; tell whether there is more in the stream than ever before.

        Args:
            ours: Bytes that our own helper counts: of a file, those of all writers.
        """
        done = ours if self._is_file else self._written()
        more = done > self._most
        self._most = max(self._most, done)
        return more

    def total(self, ours: int) -> int:
        """Give the bytes in the stream, as found at the last :meth:`look`."""
        return ours if self._is_file else ours + self._most

    def _written(self) -> int:
        """Give the bytes that went into a pipe or socket.

        The kernel doesn't count what is spliced (by libsimxen): there the pages tell.
        """
        counts = self._link.process.io_counts()
        written = counts.write_chars if counts is not None else 0
        return max(written - self._link.said(), self.pages * PAGE_SIZE)

    def is_full(self) -> bool:
        """Tell whether the stream takes no more now: its reader is slow."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return not poll.poll(0)
