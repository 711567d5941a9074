"""The vcpu page: where host and guest process meet, and what travels in the stream.

Source: helper/src/simxen/simxen.h, struct simxen_vcpu; a test compares the offsets.
"""

import ctypes
import enum
import fcntl
import mmap
import os
import struct

from libxlpy_protocol.xen import PAGE_SIZE

MAGIC = b"SIMVCPU1"
#: ``rate`` that means "as fast as it goes".
FULL_SPEED = 2**64 - 1
#: Pages at the end of an HVM domain's memory that only the device model writes.
DEVICE_MODEL_PAGES = 16

#: Field -> (offset, struct format). The ``arch.`` ones travel in the stream.
FIELDS = {
    "magic": (0, "8s"),
    "command": (8, "I"),
    "state": (12, "I"),
    "tracker_wanted": (16, "I"),
    "tracker_state": (20, "I"),
    "tracker_kind": (24, "I"),
    "fill": (28, "I"),
    "mapping": (32, "Q"),
    "nr_pages": (40, "Q"),
    "guest_pages": (48, "Q"),
    "doorbell": (56, "I"),
    "ack": (60, "I"),
    "restored": (64, "I"),
    "tracker_errno": (68, "I"),
    "arch.guest_id": (128, "Q"),
    "arch.counter": (136, "Q"),
    "arch.digest": (160, "Q"),
    "arch.rate": (168, "Q"),
    "arch.pattern": (176, "I"),
    "arch.hot_pages": (184, "Q"),
    "arch.restored_count": (192, "Q"),
    "arch.suspend_count": (200, "Q"),
}


class Command(enum.IntEnum):
    """What the host wants of the guest process."""

    RUN = 0
    STOP = 1
    EXIT = 2


class Tracker(enum.IntEnum):
    """How the pages that a guest writes are seen."""

    OFF = 0
    UFFD = 1
    BITMAP = 2
    FAILED = 3


class TrackerKind(enum.IntEnum):
    """Which tracker a domain's creator asked for."""

    AUTO = 0
    UFFD = 1
    BITMAP = 2


class Pattern(enum.IntEnum):
    """Which pages a guest writes."""

    UNIFORM = 0
    SEQUENTIAL = 1
    HOT = 2


class Fill(enum.IntEnum):
    """Whether a guest writes every page once before all else."""

    NONE = 0
    WANTED = 1
    DONE = 2


def file_size(nr_pages: int) -> int:
    """Give the bytes of a vcpu file: the page and two dirty bitmaps behind it."""
    bitmap = (nr_pages + 32767) // 32768 * PAGE_SIZE
    return PAGE_SIZE + 2 * bitmap


class SharedMemory:
    """A memfd, sealed against changes of its size, mapped here on demand.

    Args:
        name: As it shows in ``/proc``.
        size: Bytes.

    Raises:
        OSError: The kernel has no room.
    """

    def __init__(self, name: str, size: int) -> None:
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.size = size
        self._mapping: mmap.mmap | None = None
        self._view: ctypes.Array[ctypes.c_char] | None = None
        os.ftruncate(self.fd, size)
        # Nobody who maps it can make another's access fail.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)

    @property
    def mapping(self) -> mmap.mmap:
        """The bytes, shared with all who have the descriptor."""
        if self._mapping is None:
            self._mapping = mmap.mmap(self.fd, self.size)
        return self._mapping

    @property
    def address(self) -> int:
        """Where the bytes are in this process."""
        if self._view is None:
            self._view = (ctypes.c_char * self.size).from_buffer(self.mapping)
        return ctypes.addressof(self._view)

    @property
    def resident(self) -> int:
        """Bytes that take memory now; the others were never written."""
        return os.fstat(self.fd).st_blocks * 512

    def close(self) -> None:
        """Give the memory back, unless another process still has it."""
        self._view = None
        if self._mapping is not None:
            self._mapping.close()
        os.close(self.fd)


class VcpuPage(SharedMemory):
    """The vcpu page of one domain and its bitmaps.

    Args:
        name: As it shows in ``/proc``.
        nr_pages: Pages of guest memory.
    """

    def __init__(self, name: str, nr_pages: int) -> None:
        super().__init__(name, file_size(nr_pages))
        self["magic"] = MAGIC
        self["nr_pages"] = nr_pages

    def __getitem__(self, field: str) -> int:
        """Give a number as it is now."""
        offset, form = FIELDS[field]
        (value,) = struct.unpack_from(f"<{form}", self.mapping, offset)
        return int(value)

    def __setitem__(self, field: str, value: int | bytes) -> None:
        """Set a field; only while nobody else writes it."""
        offset, form = FIELDS[field]
        struct.pack_into(f"<{form}", self.mapping, offset, value)
