"""Ask a guest to suspend by its event channel, where it offers one.

Such a guest writes a port that dom0 may bind into its xenstore nodes. Nothing but its
suspension answers the request, and nobody can take it back.

Xen: docs/misc/xenstore-paths.pandoc, ~/device/suspend/event-channel.
"""

import errno
import os
from pathlib import Path

from libxlpy.process.link import HelperLink, uuid_bytes
from libxlpy.xenstore import Xenstore
from libxlpy_protocol.fields import brief
from libxlpy_protocol.messages import AskToSuspend

#: Digits of the largest port.
DIGITS = 10
PORT_MAX = (1 << 32) - 1
#: The lock file is another's.
LOCKED = frozenset({errno.EAGAIN, errno.EACCES})


async def offered_port(store: Xenstore, domid: int) -> str:
    """Give what a guest has written as its port; "" if it offers none."""
    path = f"/local/domain/{domid}/device/suspend/event-channel"
    return await store.read_text(path)


async def ask_by_event(
    ops: HelperLink, domid: int, uuid: str, port: str, lock_path: Path
) -> str:
    """Ask a guest to suspend.

    Args:
        ops: The helper that saves it.
        domid: Of the guest.
        uuid: Its own.
        port: See :func:`offered_port`.
        lock_path: Locked by who uses the channel.

    Returns:
        Why it was not asked; "" if it was.

    Raises:
        DomainReused: Another domain has the domid; it was not asked.
        BackendError: The helper is gone or does not answer: it may have been asked.
    """
    if not _is_port(port):
        return f"{brief(port)} is no port"
    ask = AskToSuspend(domid, int(port), str(lock_path), uuid_bytes(uuid))
    result = await ops.ask_to_suspend(ask)
    if result.retval >= 0:
        return ""
    if result.errnoval in LOCKED:
        return f"another program has {lock_path} locked"
    return os.strerror(result.errnoval)


def _is_port(text: str) -> bool:
    digits = text.isascii() and text.isdigit() and len(text) <= DIGITS
    return digits and int(text) <= PORT_MAX
