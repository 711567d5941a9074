"""Hold a write lease on a program: whoever runs it waits in the kernel.

Run as ``python lease_holder.py PROGRAM``; says "held" and lets go at the end of its
stdin. The kernel itself lets go after ``/proc/sys/fs/lease-break-time``.
"""

import fcntl
import os
import signal
import sys

signal.signal(signal.SIGIO, signal.SIG_IGN)  # somebody wants it
held = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
