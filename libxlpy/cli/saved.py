"""A save file that a command reads: opened, and named in whatever reading fails of."""

import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libxlpy.cli.terminal.outcome import CommandFailed, os_error_text
from libxlpy.cli.terminal.output import Output
from libxlpy.cli.terminal.waiting import told_if_stuck
from libxlpy.errors import reason_of
from libxlpy.folders import NotOursAlone, find


def open_saved(out: Output, path: Path) -> int:
    """Open a file to read, a pipe once something is in it; the descriptor is ours.

    Args:
        out: Is told what is waited for if that takes long.
        path: Of the file.

    Raises:
        CommandFailed: It is a folder.
        OSError: It can't be opened.
    """
    with told_if_stuck(out, f"the disk of {path}"):
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise CommandFailed(f"{path} is a directory; name a file in it")
    if not stat.S_ISFIFO(mode):
        with told_if_stuck(out, f"the disk of {path}"):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with told_if_stuck(out, f"somebody to write into {path}"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll()
    return fd


def write_out(path: Path, data: bytes) -> None:
    """Write a file of results, made anew or written over.

    Raises:
        CommandFailed: It can't be written, or another user could have put a link there.
        OSError: Its folder can't be found.
    """
    try:
        place = find(path)
    except NotOursAlone as exc:
        raise CommandFailed(str(exc)) from exc
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    follow = 0 if place.of_kernel else os.O_NOFOLLOW
    try:
        try:
            fd = os.open(place.name, flags | follow, 0o666, dir_fd=place.folder)
        finally:
            os.close(place.folder)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
    except OSError as exc:
        raise CommandFailed(f"can't write {path}: {reason_of(exc)}") from exc


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
