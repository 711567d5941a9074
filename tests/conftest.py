"""What holds for every test: whatever it makes is gone when it ends."""

import ctypes
import gc
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.processes import (
    SETTLE,
    describe,
    end_of_threads_aside,
    living_descendants,
)

PR_SET_CHILD_SUBREAPER = 36
#: Seconds for what a test beside us has made: it is gone when that ends.
NEIGHBOUR = 60.0


def pytest_configure() -> None:
    """Adopt orphans: a helper or host whose parent died is then seen as ours.

    And take Ctrl-C: a shell that runs us in its background has it ignored.
    """
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


def left_in_shared_places() -> set[str]:
    """Give shared memory and mounts that exist now."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    points = {line.split()[4] for line in mounts}
    return {str(path) for path in Path("/dev/shm").iterdir()} | points


def left_behind(shared: set[str]) -> set[str]:
    """Give what is new in shared places and stays; a test beside us may use them."""
    until = time.monotonic() + NEIGHBOUR
    while (places := left_in_shared_places() - shared) and time.monotonic() < until:
        time.sleep(0.1)
    return places


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a process, descriptor, mount or shared memory."""
    processes = {p.pid for p in living_descendants()}
    descriptors = open_descriptors()
    shared = left_in_shared_places()
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
    places = left_behind(shared)
    assert not places, f"shared memory or mounts left behind: {places}"
