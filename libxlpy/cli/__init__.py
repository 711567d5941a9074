"""The command line: ``xlpy``, with names, options and exit statuses as `xl`'s.

``app`` declares the options of all commands; ``show``, ``save``, ``restore``,
``verify`` and ``sim`` do them with the public API only; ``interrupt`` turns signals
into orderly ends, ``outcome`` turns errors into one line and an exit status, ``output``
and ``progress`` are all that is printed.
"""

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

#: Exit status after Ctrl-C, as shells have it: 128 + SIGINT.
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give its exit status (0 good, 1 failed, 2 usage).

    Args:
        arguments: Without the program's name; those of the process if None.
    """
    _open_standard_descriptors()
    try:
        from libxlpy.cli.outcome import run_command

        return run_command(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:  # before or after the event loop, nothing is under way
        return INTERRUPTED


def _open_standard_descriptors() -> None:
    # a stream or lock that became descriptor 1 would get what we print
    fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    while fd <= 2:
        os.set_inheritable(fd, True)
        fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.close(fd)
