"""A save file that a command reads: opened, and named in whatever reading fails of."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libxlpy.cli.terminal.outcome import CommandFailed, os_error_text


def open_saved(path: Path) -> int:
    """Open a file to read; the descriptor is the caller's.

    Raises:
        CommandFailed: It is a folder.
        OSError: It can't be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise CommandFailed(f"{path} is a directory; name a file in it")
    return fd


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Meanwhile an error of the system is told with the name of a file.

    Raises:
        CommandFailed: There was one.
    """
    try:
        yield
    except OSError as exc:
        raise CommandFailed(f"{path}: {os_error_text(exc)}") from exc
