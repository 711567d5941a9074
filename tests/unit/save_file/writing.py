"""A save file that is written, and system calls that fail meanwhile."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from libxlpy.save_file import SaveFile

HEAD = b"head"


def written(path: Path, body: bytes = b" body") -> None:
    with SaveFile(path, HEAD) as file:
        os.write(file.fd, body)
        file.commit()


def failing(
    call: str, wanted: Callable[[int], bool], error: int = errno.EIO
) -> Callable[..., None]:
    """Give a system call that fails on some descriptors or directories."""
    real = getattr(os, call)

    def act(*arguments: object, **named: object) -> None:
        fd = named.get("dir_fd", arguments[0])
        if isinstance(fd, int) and wanted(fd):
            raise OSError(error, os.strerror(error))
        real(*arguments, **named)

    return act


def is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)
