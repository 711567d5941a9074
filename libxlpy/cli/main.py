"""From the process's start to its end: the signals first, then the command.

``command`` turns errors into one line and an exit status; ``app`` and ``options/``
declare all commands; ``list``, ``save``, ``restore``, ``verify``, ``jobs``, ``sim`` and
``inspect/`` do them with the public API only; ``terminal/`` is all that is printed.
"""

import gc
import os
import sys
from collections.abc import Sequence

from libxlpy.cli.terminal.signals import Signals

#: New objects between two looks for garbage. By Python's 700 it would look again and
#: again through what is loaded, of which nothing goes.
COLLECT_AFTER = 50_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give its exit status (0 good, 1 failed, 2 usage).

    Args:
        arguments: Without the program's name; if None, those of the process, which
            ends with the command.
    """
    if arguments is None:
        gc.set_threshold(COLLECT_AFTER)
    signals = Signals()
    try:
        with signals.handled(restore=arguments is not None):
            _open_standard_descriptors()
            from libxlpy.cli.command import run_command  # takes its time to load

            given = sys.argv[1:] if arguments is None else list(arguments)
            return run_command(given, signals)
    except OSError as exc:  # of the first lines: a command's are told by it
        raise SystemExit(f"xlpy: can't begin: {exc.strerror}; see ulimit -n") from exc


def _open_standard_descriptors() -> None:
    # a stream or lock that became descriptor 1 would get what we print
    fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    while fd <= 2:
        os.set_inheritable(fd, True)
        fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.close(fd)
