"""When a file was made: its number alone is given to a new file as soon as it is gone.

Python has no ``statx``, so the C library's is called.

Source: Linux, include/uapi/linux/stat.h, struct statx.
"""

import ctypes
import os
import struct
from functools import cache
from typing import Any

AT_FDCWD, AT_SYMLINK_NOFOLLOW = -100, 0x100
STATX_BTIME = 0x800
SIZE = 256
MASK_AT, BTIME_AT = 0, 80
NS_PER_S = 10**9


@cache
def _statx() -> Any:
    return ctypes.CDLL(None, use_errno=True).statx


def birth_ns(path: str) -> int:
    """Give when a file was made, nanoseconds of the wall clock; 0 if nobody knows.

    Raises:
        OSError: There is no such file.
    """
    buffer = ctypes.create_string_buffer(SIZE)
    flags = 0 if path.startswith("/proc/") else AT_SYMLINK_NOFOLLOW
    name = os.fsencode(path)
    if _statx()(AT_FDCWD, name, flags, STATX_BTIME, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    (mask,) = struct.unpack_from("=I", buffer, MASK_AT)
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, BTIME_AT)
    return int(seconds * NS_PER_S + nanoseconds) if mask & STATX_BTIME else 0
