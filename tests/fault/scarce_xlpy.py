"""xlpy, with something that is scarce from the moment its guest is suspended.

Run as ``python scarce_xlpy.py WHAT PHASE ARGUMENT...``: ENOSPC and EIO come from what
the journal does to its files, EMFILE from the kernel, for whatever needs a descriptor;
no thread can be started once ``threads`` is scarce.
"""

import contextlib
import errno
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any

from libxlpy.cli.main import main
from libxlpy.jobs.run import JobRun

JOBS = "/jobs"


def scarce(what: str) -> None:
    """Have nothing more of it."""
    if what == "EMFILE":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
        with contextlib.suppress(OSError):
            while True:
                os.dup(0)
        return

    if what == "threads":
        threading.Thread.start = no_thread  # type: ignore[method-assign]
        return

    def makes(path: str, flags: int, *_: object) -> bool:
        new = flags & os.O_CREAT and not Path(path).exists()
        return what == "EIO" or bool(new)

    number = getattr(errno, what)
    refuse(number, "open", str, makes)
    for name in ("write", "pwrite", "ftruncate"):
        refuse(number, name, lambda fd: str(Path(f"/proc/self/fd/{fd}").readlink()))
    if what == "EIO":
        for name in ("unlink", "rename", "replace", "stat", "lstat"):
            refuse(number, name, str)


def no_thread(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def refuse(
    number: int, name: str, path_of: Any, matters: Any = lambda *_: True
) -> None:
    """Have a function of ``os`` fail for the journal's files."""
    real = getattr(os, name)

    def call(*arguments: Any, **options: Any) -> Any:
        path = path_of(arguments[0])
        if f"{JOBS}/" in path and matters(*arguments):
            raise OSError(number, os.strerror(number), path)
        return real(*arguments, **options)

    setattr(os, name, call)


def run(what: str, phase: str, *arguments: str) -> int:
    enter = JobRun.enter

    def entered(job: JobRun, name: str) -> None:
        if name == phase:
            scarce(what)
        enter(job, name)

    JobRun.enter = entered  # type: ignore[method-assign]
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
