"""Processes and threads that a test has made: which of them still live."""

import os
import threading

import psutil

from libxlpy.aio import ASIDE

#: Seconds for processes that are on their way out; an upper bound, not a measure.
SETTLE = 10.0


def living_descendants() -> list[psutil.Process]:
    """Give our living descendants; reap those that are already dead."""
    living = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
            elif process.ppid() == os.getpid():
                os.waitpid(process.pid, os.WNOHANG)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue
    return living


def describe(process: psutil.Process) -> str:
    """Give a process as one line; it may end meanwhile."""
    try:
        return f"{process.pid}: {' '.join(process.cmdline())}"
    except psutil.NoSuchProcess:
        return f"{process.pid}: gone"


def end_of_threads_aside() -> None:
    """Wait for threads that a loop has left alone: they may still have a file open."""
    for thread in threading.enumerate():
        if thread.name == ASIDE:
            thread.join(SETTLE)
