"""All that the command line prints: facts to stdout, everything else to stderr.

A stdout that nobody reads any more must not end a job: what can't be printed is
dropped, and `failure` says so once the work is done.
"""

import errno
import json
import os
import sys
from typing import Any, TextIO

from libxlpy_protocol.fields import one_line as one_line
from libxlpy_protocol.fields import printable as printable
from libxlpy_protocol.fields import readable, written_out

#: Sizes in text.
_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Output:
    """The two streams of one command.

    Attributes:
        failure: Why stdout took no more; None while it does.
    """

    def __init__(self) -> None:
        self.failure: OSError | None = None
        if sys.stdout is None:  # closed before we were started
            self.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))

    def fact(self, line: str) -> None:
        """Print a line that was asked for."""
        if self.failure is not None:
            return
        try:
            sys.stdout.write(sayable(line, sys.stdout) + "\n")
            sys.stdout.flush()
        except OSError as exc:
            self.failure = exc
            _drop(sys.stdout)

    def json(self, value: Any) -> None:
        """Print one JSON value on a line of its own; of a Value, its fields."""
        self.fact(json.dumps(value, separators=(",", ":"), default=vars))

    def note(self, text: str) -> None:
        """Print lines about what goes on; dropped if stderr takes them no more.

        They may hold what a guest or a helper wrote, and a terminal would obey.
        """
        if sys.stderr is None:
            return
        try:
            shown = "\n".join(map(printable, text.split("\n")))
            sys.stderr.write(sayable(shown, sys.stderr) + "\n")
            sys.stderr.flush()
        except OSError:
            _drop(sys.stderr)


def sayable(line: str, stream: TextIO) -> str:
    """Write out what a stream's encoding lacks: Latin-1 has no omega."""
    encoding = stream.encoding or "utf-8"
    as_it_is = "surrogateescape" if stream.errors == "surrogateescape" else "strict"
    if _has(encoding, line, as_it_is):
        return line
    shown = readable(line)
    return "".join(c if _has(encoding, c) else written_out(c) for c in shown)


def _has(encoding: str, text: str, errors: str = "strict") -> bool:
    try:
        text.encode(encoding, errors)
    except UnicodeEncodeError:
        return False
    return True


def _drop(stream: TextIO) -> None:
    """Point a broken stream at nothing, or Python complains at exit."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, stream.fileno())
    os.close(null)


def size_text(size: float) -> str:
    """Give a size in bytes as people read it: ``"64.0 MiB"``."""
    unit, *larger = _UNITS
    while larger and size >= _STEP:
        size /= _STEP
        unit, *larger = larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
