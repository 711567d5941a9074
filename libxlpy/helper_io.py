"""What the kernel counts for one helper; only root may see it.

The helper is not dumpable, so ``/proc/PID/io`` is closed to anybody else. It is opened
once, while the helper's pidfd says that the pid is its own; from then on the descriptor
stands for that process and no other, even if the pid is reused. Reading it copies
counters and waits for nothing (psutil would open and look up the pid each time).
"""

import os

from libxlpy.process.helper import HelperProcess
from libxlpy.statistics import IoCounts

#: Bytes taken of /proc/PID/io.
IO_MAX = 4096


class HelperIo:
    """Reads the counters of one helper."""

    def __init__(self, process: HelperProcess) -> None:
        """Take a helper that was just spawned."""
        self._fd = -1
        try:
            self._fd = os.open(f"/proc/{process.pid}/io", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # gone already, or no right
        if not process.alive:
            self.close()  # the pid may have been another's

    def close(self) -> None:
        """Close its descriptor; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def sample(self) -> IoCounts | None:
        """Give the counters of this moment; None where they can't be had."""
        if self._fd < 0:
            return None
        try:
            lines = os.pread(self._fd, IO_MAX, 0).splitlines()
        except OSError:
            self.close()  # not ours to see, or it is gone
            return None
        counts = dict(line.split(b": ", 1) for line in lines)
        names = (b"rchar", b"wchar", b"read_bytes", b"write_bytes")
        return IoCounts(*(int(counts.get(name, 0)) for name in names))
