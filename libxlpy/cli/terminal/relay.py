"""What another program says on stderr, line by line between what we show.

A program that writes to the terminal itself moves what is drawn at its bottom; and what
comes from another host may hold what a terminal would obey.
"""

import asyncio
import contextlib
import os
from types import TracebackType
from typing import Final, Self

from libxlpy.cli.terminal.output import Output

#: Bytes read at once, and of a line that has no end yet.
MOST: Final = 4096
#: Reads in a row: they may never stop.
READS: Final = 16


class Relay:
    """A pipe to be somebody's stderr; entered before they start, left after them."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._read_fd = -1
        self._line = b""
        #: What they say from here on is printed.
        self.is_told = True
        #: For them to write to.
        self.write_fd = -1

    def __enter__(self) -> Self:
        """Begin to read."""
        self._read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_fd, False)
        asyncio.get_running_loop().add_reader(self._read_fd, self._read)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Print what is left; whoever writes still has no reader any more."""
        os.close(self.write_fd)
        self._read()
        asyncio.get_running_loop().remove_reader(self._read_fd)
        os.close(self._read_fd)
        self._tell(self._line)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(READS):
                if not (data := os.read(self._read_fd, MOST)):
                    break
                *lines, self._line = (self._line + data).split(b"\n")
                for line in lines:
                    self._tell(line)
                if len(self._line) > MOST:
                    self._tell(self._line)
                    self._line = b""

    def _tell(self, line: bytes) -> None:
        if line.strip() and self.is_told:
            self._out.note(line.decode(errors="replace").rstrip("\r"))
