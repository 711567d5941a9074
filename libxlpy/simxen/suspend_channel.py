"""The event channel by which a guest can be asked to suspend, and tells that it is.

The guest offers a port; one toolstack at a time binds it, by a connection that then
carries events, and unbinds by closing it. As in Xen an event comes right after binding,
and none while the one before is not unmasked.

Source: helper/src/simxen/simxen.h; Xen, xen/common/event_channel.c.
"""

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import Callable

MESSAGE = struct.Struct("<II")
#: The guest's end, and the toolstack's.
GUEST_PORT = 9
TOOLSTACK_PORT = 21


class What(enum.IntEnum):
    """What a message on the connection says."""

    EVENT = 0
    NOTIFY = 1
    UNMASK = 2


class SuspendChannel:
    """The channel of one domain."""

    def __init__(self) -> None:
        #: Xen fires the channel when the guest has suspended.
        self.subscribed = False
        #: How often the guest was asked.
        self.requests = 0
        #: Called when the guest is asked.
        self.on_request: Callable[[], None] = lambda: None
        self._asked = False
        self._bound: socket.socket | None = None
        self._masked = False
        self._pending = False

    @property
    def bound(self) -> bool:
        """Whether a toolstack uses it."""
        return self._bound is not None

    def take_request(self) -> bool:
        """Tell whether the guest was asked since the last call."""
        asked, self._asked = self._asked, False
        return asked

    def fire(self) -> None:
        """Have an event come at the toolstack's end, now or once it is unmasked."""
        if self._bound is None:
            return
        self._pending = self._masked
        if not self._masked:
            self._masked = True
            with contextlib.suppress(OSError):  # its other end is gone
                self._bound.send(MESSAGE.pack(What.EVENT, TOOLSTACK_PORT))

    async def serve(self, sock: socket.socket) -> None:
        """Be bound, until the toolstack closes its connection."""
        loop = asyncio.get_running_loop()
        self._bound, self._masked = sock, False
        self.fire()
        try:
            while len(data := await loop.sock_recv(sock, 64)) == MESSAGE.size:
                self._take(What(MESSAGE.unpack(data)[0]))
        finally:
            self._bound = None

    def _take(self, what: What) -> None:
        if what is What.NOTIFY:
            self.requests += 1
            self._asked = True
            self.on_request()
        elif what is What.UNMASK:
            self._masked = False
            if self._pending:
                self.fire()
