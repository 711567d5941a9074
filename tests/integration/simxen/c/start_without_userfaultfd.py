"""Start a simxen host whose guests are refused userfaultfd, as containers do.

Run as ``python start_without_userfaultfd.py DIRECTORY``. The filter is inherited by
whatever this process starts.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

from libxlpy.simxen.client import start_host

#: Architecture -> (its number in seccomp's data, userfaultfd's number).
SYSTEM_CALL = {"x86_64": (0xC000003E, 323), "aarch64": (0xC00000B7, 282)}
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
#: Instructions of a filter: load a word, compare, return.
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
#: Offsets in seccomp's data.
NUMBER, ARCHITECTURE = 0, 4
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000


class Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse(architecture: int, number: int, error: int) -> None:
    """Have one system call fail in this process and all it starts."""
    instructions = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 0, 3, architecture),
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 1, number),
        (RETURN, 0, 0, FAIL_WITH | error),
        (RETURN, 0, 0, ALLOW),
    ]
    code = b"".join(struct.pack("=HBBI", *each) for each in instructions)
    program = Program(len(instructions), code)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), "prctl")


if __name__ == "__main__":
    refuse(*SYSTEM_CALL[platform.machine()], errno.EPERM)
    start_host(sys.argv[1])
