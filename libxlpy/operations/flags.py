"""How a domain is to be saved, and whether it can be."""

import enum

from libxlpy.domain.info import DomainInfo
from libxlpy.errors import UsageError
from libxlpy_protocol.enums import XcFlags


class SuspendFlags(enum.IntFlag):
    """How to save; numbers as libxl's ``LIBXL_SUSPEND_*``."""

    #: Send everything once more and have the receiver compare it.
    DEBUG = 1
    #: Copy while the guest runs, suspend it only for what is left.
    LIVE = 2


#: Choice of our own helper.
OWN = "own"
#: Copy everything while the guest is suspended.
NOT_LIVE = SuspendFlags(0)

XC_FLAGS = {
    SuspendFlags.LIVE: XcFlags.LIVE,
    SuspendFlags.DEBUG: XcFlags.DEBUG,
}


def xc_flags(flags: SuspendFlags) -> XcFlags:
    """Give libxenguest's flags for libxl's.

    Raises:
        UsageError: There is a bit that means nothing.
    """
    if int(flags) & ~int(SuspendFlags.LIVE | SuspendFlags.DEBUG):
        raise UsageError(f"unknown flags: {flags!r}")
    value = XcFlags(0)
    for ours, theirs in XC_FLAGS.items():
        if ours in flags:
            value |= theirs
    return value


def check_can_suspend(info: DomainInfo) -> None:
    """Refuse a domain that can't do what a save will ask of it.

    Raises:
        UsageError: It has shut down.
    """
    if info.shutdown and info.shutdown_reason != "suspend":
        text = f"domain {info.domid} has shut down ({info.shutdown_reason})"
        raise UsageError(f"{text}: there is nothing to save")
