"""One event channel to a guest, on a handle of its own; nothing is judged here.

Own, because a shared handle takes the events of others, too.
"""

from __future__ import annotations

import os

from libxlpy_helper._xenguest import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

WHAT: Final = "suspend event channel"


class EventChannel:
    """A channel that the guest offers, bound; Xen fires it once it is suspended."""

    def __init__(self, library: Any, xch: Any, domid: int, port: int) -> None:
        """Bind it; see ``Handle.event_channel``.

        Raises:
            OSError: The guest offers no such port, or this Xen has no event channels.
        """
        self._evtchn = ffi.new("struct evtchn *")
        #: Readable after an event.
        self.fd: int = lib.evtchn_open(self._evtchn, library, xch, domid, port)
        _check(self.fd)

    def notify(self) -> None:
        """Fire it at the guest's end.

        Raises:
            OSError: The kernel refused.
        """
        _check(lib.evtchn_notify(self._evtchn))

    def take(self) -> None:
        """Take an event; there will be no other before :meth:`unmask`.

        Raises:
            OSError: The channel is of no use any more.
        """
        _check(lib.evtchn_take(self._evtchn))

    def unmask(self) -> None:
        """Let another event come.

        Raises:
            OSError: The channel is of no use any more.
        """
        _check(lib.evtchn_unmask(self._evtchn))

    def close(self) -> None:
        """Unbind it; to be called once."""
        lib.evtchn_close(self._evtchn)


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ffi.errno, f"{WHAT}: {os.strerror(ffi.errno)}")
