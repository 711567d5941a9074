"""What holds for every test: whatever it makes is gone when it ends."""

import ctypes
import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.own_mounts import mounts_and_shared_memory, take_own_mounts
from tests.support.processes import (
    SETTLE,
    describe,
    end_of_threads_aside,
    living_descendants,
)

PR_SET_CHILD_SUBREAPER = 36
#: Whether we have mounts and /dev/shm of our own; else others' can't be told from ours.
OWN_MOUNTS = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Adopt orphans: a helper or host whose parent died is then seen as ours.

    Have mounts of our own: those that others make meanwhile are not. And take Ctrl-C:
    a shell that runs us in its background has it ignored.
    """
    config.stash[OWN_MOUNTS] = take_own_mounts()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the suite itself: it runs after every test."""
    gc.collect()
    gc.freeze()


def open_descriptors() -> dict[int, str]:
    """Give the open descriptors of this process with what each refers to."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except FileNotFoundError:
            continue  # the descriptor that listed the folder
    return found


@pytest.fixture(autouse=True)
def nothing_left(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail a test that leaves a process, descriptor, mount or shared memory."""
    own_mounts = pytestconfig.stash[OWN_MOUNTS]
    processes = {p.pid for p in living_descendants()}
    descriptors = open_descriptors()
    places = mounts_and_shared_memory() if own_mounts else set()
    yield
    left = [p for p in living_descendants() if p.pid not in processes]
    _, alive = psutil.wait_procs(left, timeout=SETTLE)
    lines = [describe(process) for process in alive]
    for process in alive:
        process.kill()
    living_descendants()
    assert not lines, f"processes left behind: {lines}"
    end_of_threads_aside()
    gc.collect()
    leaked = {
        fd: what
        for fd, what in open_descriptors().items()
        if descriptors.get(fd) != what and "anon_inode:[eventpoll]" not in what
    }
    assert not leaked, f"descriptors left behind: {leaked}"
    if own_mounts:
        new = mounts_and_shared_memory() - places
        assert not new, f"shared memory or mounts left behind: {new}"
