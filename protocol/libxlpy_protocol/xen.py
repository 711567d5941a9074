"""Xen's numbers and texts, each written here and nowhere else."""

import re
from typing import Final

# Memory; Xen: xen/include/asm-x86/page.h.
PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT  # bytes

#: The highest number of a domain; Xen: public/xen.h, below DOMID_FIRST_RESERVED.
DOMID_MAX: Final = 0x7FEF

# Flags of a domain; Xen: public/domctl.h, XEN_DOMINF_*.
DOMINF_DYING: Final = 1
DOMINF_HVM_GUEST: Final = 2
DOMINF_SHUTDOWN: Final = 4
DOMINF_PAUSED: Final = 8
DOMINF_BLOCKED: Final = 16
DOMINF_RUNNING: Final = 32
DOMINF_STATES: Final = 63  # all of the above
DOMINF_SHUTDOWN_SHIFT: Final = 16
DOMINF_SHUTDOWN_MASK: Final = 0xFF

# Why a domain shut down; Xen: public/sched.h, SHUTDOWN_*.
SHUTDOWN_POWEROFF: Final = 0
SHUTDOWN_REBOOT: Final = 1
SHUTDOWN_SUSPEND: Final = 2
SHUTDOWN_CRASH: Final = 3
SHUTDOWN_WATCHDOG: Final = 4
SHUTDOWN_SOFT_RESET: Final = 5
#: Name of each.
SHUTDOWN_NAMES: Final = (
    *("poweroff", "reboot", "suspend", "crash", "watchdog", "soft_reset"),
)

# Levels of log lines; Xen: tools/include/xentoollog.h, XTL_*.
XTL_DEBUG: Final = 1
XTL_INFO: Final = 5
XTL_WARN: Final = 7
XTL_ERROR: Final = 8
#: Name of each, from XTL_NONE on.
XTL_NAMES: Final = (
    *("none", "debug", "verbose", "detail", "progress"),
    *("info", "notice", "warning", "error", "critical"),
)

#: What libxenguest says of a pass over memory: its number, or that it only verifies.
#: Xen: tools/libs/guest/xg_sr_save.c, ``send_memory_live`` and others.
FRAMES: Final = re.compile(r"Frames(?: iteration (\d+)| (verify))?")
