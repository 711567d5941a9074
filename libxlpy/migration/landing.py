"""Where the stream of a migration is handed in, on the host that it goes to.

Control and stream come by two commands, each a process of its own there. The receiver
listens under a name that nobody can guess; the process that has the stream hands its
descriptor over, and stays for as long as the receiver needs it.
"""

import asyncio
import os
import socket
from types import TracebackType
from typing import Self

from libxlpy.errors import BackendError, PeerFailed, TimedOut, reason_of
from libxlpy.migration.handing import BYTE, PREFIX, is_ours

DIGITS = 32


class Landing:
    """It, at the receiver; enter it with ``async with``."""

    def __init__(self) -> None:
        #: What to tell the sender.
        self.name = os.urandom(DIGITS // 2).hex()
        self._socket: socket.socket | None = None
        self._giver: socket.socket | None = None
        self._fd = -1

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            BackendError: There are no descriptors left.
        """
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.bind(PREFIX + self.name)
            self._socket.listen()
        except OSError as exc:
            raise BackendError(f"can't listen for a stream: {reason_of(exc)}") from exc
        self._socket.setblocking(False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the stream, and let its process go."""
        for each in (self._socket, self._giver):
            if each is not None:
                each.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def taken(self, deadline: str, seconds: float) -> int:
        """Wait for the stream.

        Args:
            deadline: Name of what bounds it.
            seconds: The bound.

        Returns:
            A descriptor to read; ours until this is left.

        Raises:
            TimedOut: Nobody has handed one in.
            PeerFailed: What was handed in is none.
        """
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                while self._giver is None:
                    giver, _ = await loop.sock_accept(self._socket)
                    if is_ours(giver):
                        self._giver = giver
                    else:
                        giver.close()
                readable = asyncio.Event()
                loop.add_reader(self._giver.fileno(), readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(self._giver.fileno())
        except TimeoutError as exc:
            raise TimedOut(deadline, seconds) from exc
        except OSError as exc:
            raise PeerFailed("sent no stream", reason_of(exc)) from exc
        self._fd = _received(self._giver)
        return self._fd


def _received(giver: socket.socket) -> int:
    """Take the descriptor that has come; any more are closed."""
    try:
        _, fds, _, _ = socket.recv_fds(giver, len(BYTE), 1)
    except OSError as exc:
        raise PeerFailed("sent no stream", reason_of(exc)) from exc
    if not fds:
        raise PeerFailed("sent no stream", "whoever was to hand it in has gone")
    fd, *more = fds
    for each in more:
        os.close(each)
    os.set_inheritable(fd, False)
    return fd
