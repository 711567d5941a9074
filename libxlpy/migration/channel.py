"""The way to the other end of a migration: two descriptors, each wait with its bound.

The stream goes the same way, read or written by a helper: so not one byte more is read
than was asked for, and the flags of the descriptors stay as they are.
"""

import asyncio
import os
import select
import stat
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from libxlpy.deadlines import Deadlines
from libxlpy.errors import PeerFailed, TimedOut, UsageError
from libxlpy.migration.tcp import Carries, find_dead_peer
from libxlpy_protocol.fields import printable

#: Has something be at the other end.
Reach = Callable[[], Awaitable[None]]
#: What is read, what is written, and perhaps what has somebody be there.
Ends = tuple[int, int] | tuple[int, int, Reach]
#: A pipe that is writable takes so many bytes at once.
PIECE = select.PIPE_BUF
#: Bytes of what came in place of a message that are shown.
SHOWN = 200
#: Seconds to read the rest of what came in its place, for who reads the error.
REST_WITHIN = 0.2


class Channel:
    """Both directions of one connection; the descriptors stay their owner's."""

    def __init__(self, read_fd: int, write_fd: int, reach: Reach | None = None) -> None:
        """Take what is connected.

        Args:
            read_fd: A pipe or socket that the other end writes to.
            write_fd: One that it reads; may be the same.
            reach: Has it be there; None if it is.

        Raises:
            UsageError: One is neither.
        """
        for fd in (read_fd, write_fd):
            _check(fd)
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._reach = reach

    async def reach(self) -> None:
        """Have the other end be there, once nothing here is in the way.

        Raises:
            LibxlpyError: It can't.
        """
        if self._reach is not None:
            await self._reach()

    def find_dead_peer(self, deadlines: Deadlines, carries: Carries) -> None:
        """Have its sockets, if they are TCP's, end with the other end's host."""
        for fd in {self.read_fd, self.write_fd}:
            find_dead_peer(fd, deadlines, carries)

    # ----- to the other end -------------------------------------------------------

    async def say(
        self, message: bytes, deadline: str, seconds: float, what: str = ""
    ) -> None:
        """Send a message.

        Args:
            message: All of it.
            deadline: Name of what bounds it.
            seconds: The bound.
            what: It is called so in errors; "" for a text.

        Raises:
            PeerFailed: The connection has ended; not all of it has left.
            TimedOut: It takes no more; not all of it has left.
        """
        left = memoryview(message)
        try:
            async with asyncio.timeout(seconds):
                while left:
                    await self._writable()
                    left = left[os.write(self.write_fd, left[:PIECE]) :]
        except TimeoutError as exc:
            raise TimedOut(deadline, seconds) from exc
        except OSError as exc:
            why = f"the connection has ended ({exc.strerror})"
            told = what or _text(message)
            raise PeerFailed(f"could not be told {told}", why) from exc

    # ----- from the other end -----------------------------------------------------

    async def hear(self, message: bytes, deadline: str, seconds: float) -> None:
        """Wait for a message; errors as of :meth:`hear_one`."""
        await self.hear_one((message,), deadline, seconds)

    async def hear_one(
        self, messages: Sequence[bytes], deadline: str, seconds: float
    ) -> bytes:
        """Wait for one of some messages, none of which begins with another.

        Args:
            messages: What is due; the first is named if none of them comes.
            deadline: Name of what bounds it.
            seconds: The bound.

        Returns:
            The one that came.

        Raises:
            PeerFailed: Something else came, or the end of the connection.
            TimedOut: Not all of it came.
        """
        came = b""
        left = list(messages)
        try:
            async with asyncio.timeout(seconds):
                while came not in left:
                    piece = await self._piece(min(map(len, left)) - len(came))
                    came += piece
                    left = [each for each in left if each.startswith(came)]
                    if not (piece and left):
                        await self._other(messages[0], came, ended=not piece)
        except TimeoutError as exc:
            raise TimedOut(deadline, seconds) from exc
        return came

    async def read(
        self, size: int, what: str, deadline: str, seconds: float | None
    ) -> bytes:
        """Read exactly so many bytes.

        Args:
            size: How many.
            what: They are, for messages.
            deadline: Name of what bounds it.
            seconds: The bound; None for none.

        Raises:
            PeerFailed: The connection has ended before.
            TimedOut: Not all of them came.
        """
        came = bytearray()
        try:
            async with asyncio.timeout(seconds):
                while len(came) < size:
                    piece = await self._piece(size - len(came))
                    if not piece:
                        why = "the connection has ended"
                        if came:
                            why += f" after {len(came)} of {size} bytes"
                        raise PeerFailed(f"did not send {what}", why)
                    came += piece
        except TimeoutError as exc:
            raise TimedOut(deadline, seconds or 0.0) from exc
        return bytes(came)

    # ----- private ----------------------------------------------------------------

    async def _other(self, message: bytes, came: bytes, *, ended: bool) -> NoReturn:
        """Tell of what came in place of a message."""
        failed = f"did not say {_text(message)}"
        if ended and not came:
            raise PeerFailed(failed, "the connection has ended")
        try:
            async with asyncio.timeout(REST_WITHIN):
                while not ended and len(came) < SHOWN:
                    piece = await self._piece(SHOWN - len(came))
                    came, ended = came + piece, not piece
        except TimeoutError:
            pass  # that was all
        raise PeerFailed(failed, f"it said {_text(came)}")

    async def _piece(self, most: int) -> bytes:
        """Read what is there, once there is something; nothing at the end."""
        loop = asyncio.get_running_loop()
        await _fires(self.read_fd, loop.add_reader, loop.remove_reader)
        try:
            return os.read(self.read_fd, most)
        except OSError as exc:
            why = f"the connection has ended ({exc.strerror})"
            raise PeerFailed("can't be heard", why) from exc

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        await _fires(self.write_fd, loop.add_writer, loop.remove_writer)


async def _fires(
    fd: int,
    add: Callable[[int, Callable[[], None]], None],
    remove: Callable[[int], bool],
) -> None:
    """Wait until a descriptor is ready."""
    fired = asyncio.Event()
    add(fd, fired.set)
    try:
        await fired.wait()
    finally:
        remove(fd)


def _check(fd: int) -> None:
    try:
        mode = os.fstat(fd).st_mode
    except (OSError, OverflowError) as exc:
        raise UsageError(f"descriptor {fd} is not open") from exc
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        text = f"descriptor {fd} leads to no other end of a migration"
        raise UsageError(f"{text}: it must be a pipe or a socket")


def _text(message: bytes) -> str:
    """Give a message, or what came in its place, as people read it."""
    text = message[:SHOWN].rstrip(b"\0\n").decode("utf-8", "replace")
    return f'"{printable(text)}"'
