"""Hold a process at the end of its life: SIGKILL is taken, but it does not end.

Run as ``python tracer.py PID``; says "traced" and lets go at the end of its stdin.
"""

import ctypes
import os
import sys

PTRACE_SEIZE, PTRACE_O_TRACEEXIT = 0x4206, 0x40

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
if libc.ptrace(PTRACE_SEIZE, int(sys.argv[1]), 0, PTRACE_O_TRACEEXIT):
    sys.exit(os.strerror(ctypes.get_errno()))
print("traced", flush=True)
sys.stdin.read()
