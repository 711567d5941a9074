"""Mounts and shared memory of this process's own: nobody else's are seen in them."""

import ctypes
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
SHARED_MEMORY = Path("/dev/shm")


def take_own_mounts() -> bool:
    """Have mounts of our own, and an empty /dev/shm; tell whether that is allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        return False
    private = ctypes.c_ulong(MS_REC | MS_PRIVATE)
    if libc.mount(None, b"/", None, private, None) or libc.mount(
        b"tmpfs", bytes(SHARED_MEMORY), b"tmpfs", ctypes.c_ulong(0), b"mode=1777"
    ):
        raise OSError(ctypes.get_errno(), "no mounts of our own")
    return True


def mounts_and_shared_memory() -> set[str]:
    """Give all mounts, by number and place, and all names in /dev/shm."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = {" ".join(line.split()[:5:4]) for line in lines}
    return mounts | {str(path) for path in SHARED_MEMORY.iterdir()}
