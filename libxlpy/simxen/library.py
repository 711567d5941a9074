"""Where the compiled parts of simxen are, and libsimxen's helpers for the host.

The two files are built into the helper package's folder; that folder is found without
importing the package, whose code is not for this side.

Source: helper/src/simxen/simxen.h.
"""

import ctypes
import functools
import importlib.util
import os
from pathlib import Path

from libxlpy.simxen.errors import SimxenError
from libxlpy_protocol.value import Value


def compiled(name: str) -> Path:
    """Give the path of a compiled file of the helper package.

    Raises:
        SimxenError: It was not built.
    """
    spec = importlib.util.find_spec("libxlpy_helper")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (path := Path(folder) / name).is_file():
            return path
    raise SimxenError(f"{name} is missing: install libxlpy again with a C compiler")


class Verified(Value):
    """What reading a guest's whole memory found.

    Args:
        bad_pages: How many pages are torn or not where they belong.
        first_bad: The first of them, or the number of pages if there is none.
        digest: Sum over all pages, to be compared with the vcpu page's.
    """

    bad_pages: int
    first_bad: int
    digest: int


class SimxenLibrary:
    """Typed access to what libsimxen exports beside Xen's symbols.

    Every call releases the interpreter lock. The ones that wait take milliseconds.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path), use_errno=True)
        pointer, u64, i32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int
        signatures = {
            "simxen_offset": (ctypes.c_int64, [ctypes.c_char_p]),
            "simxen_verify": (ctypes.c_int64, [i32, u64, pointer, pointer]),
            "simxen_guest_command": (i32, [pointer, ctypes.c_uint32, i32]),
            "simxen_guest_tracker": (
                i32,
                [pointer, ctypes.c_uint32, ctypes.c_uint32, i32],
            ),
            "simxen_dma_write": (i32, [pointer, pointer, u64, u64, i32]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
        self._library = library

    def offset(self, field: str) -> int:
        """Give a field's offset in the vcpu page as C has it; -1 if unknown."""
        return int(self._library.simxen_offset(field.encode()))

    def verify(self, memory_fd: int, nr_pages: int) -> Verified:
        """Check every page of a memory; takes about a second for each few GiB.

        Raises:
            OSError: The memory can't be mapped.
        """
        digest, first_bad = ctypes.c_uint64(), ctypes.c_uint64()
        bad = self._library.simxen_verify(
            memory_fd, nr_pages, ctypes.byref(digest), ctypes.byref(first_bad)
        )
        if bad < 0:
            _raise_errno()
        return Verified(bad, first_bad.value, digest.value)

    def guest_command(self, vcpu: int, command: int, timeout_ms: int) -> None:
        """Give a guest process a command and wait until it is obeyed.

        Raises:
            TimeoutError: It was not, in that time.
        """
        if self._library.simxen_guest_command(vcpu, command, timeout_ms) < 0:
            _raise_errno()

    def guest_tracker(self, vcpu: int, wanted: int, kind: int, timeout_ms: int) -> int:
        """Arm (1) or disarm (0) a guest's tracker; gives the state it reached.

        Raises:
            TimeoutError: The guest did not answer in that time.
        """
        state = self._library.simxen_guest_tracker(vcpu, wanted, kind, timeout_ms)
        if state < 0:
            _raise_errno()
        return int(state)

    def dma_write(
        self, memory: int, vcpu: int, nr_pages: int, pfn: int, *, log: bool
    ) -> None:
        """Write a page's next generation as the device model, log it if asked.

        Raises:
            OSError: EINVAL, no page of the device model.
        """
        if self._library.simxen_dma_write(memory, vcpu, nr_pages, pfn, log) < 0:
            _raise_errno()


def _raise_errno() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


@functools.cache
def simxen_library() -> SimxenLibrary:
    """Load libsimxen once.

    Raises:
        SimxenError: It was not built.
    """
    return SimxenLibrary(compiled("libsimxen.so"))
