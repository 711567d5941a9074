"""Xen's numbers and texts, each written here and nowhere else."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
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

#: What :func:`pass_of` gives of a pass that has no number: what is left once the guest
#: is suspended, or a look at what was sent.
LAST_PASS: Final = -1
VERIFIES: Final = -2
_PASSES: Final = {"Frames": LAST_PASS, "Frames verify": VERIFIES}
_NUMBERED: Final = "Frames iteration "


def pass_of(doing_what: str) -> int | None:
    """Return the number of the pass over memory that libxenguest tells of.

    Without ``re``, which takes as long to load as all messages.

    Args:
        doing_what: Its words; of anything else it is None.

    Xen: tools/libs/guest/xg_sr_save.c, ``send_memory_live`` and others.
    """
    digits = doing_what.removeprefix(_NUMBERED)
    if digits != doing_what and digits.isascii() and digits.isdigit():
        return int(digits)
    return _PASSES.get(doing_what)
