"""The connection on which our own handshake is spoken, with a sign of life each way.

Who says nothing for ``peer_silent`` seconds, once it has begun, is gone, whatever the
connection says. What
comes is read at once, so that news of the other end is news while a stream is sent.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from libxlpy.deadlines import Deadlines
from libxlpy.errors import JobError, PeerFailed, TimedOut
from libxlpy.migration.channel import Channel
from libxlpy.migration.tcp import Carries
from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.framing import PREFIX
from libxlpy_protocol.messages import Message
from libxlpy_protocol.migration.own import LARGEST, Beat, GiveUp, decode, encode

Value = TypeVar("Value")
Kind = TypeVar("Kind", bound=Message)

#: Seconds between two signs of life.
BEAT = 1.0
#: Messages that may wait to be heard: each is said once.
WAITING = 4


class Control:
    """One end of it."""

    def __init__(self, channel: Channel, deadlines: Deadlines) -> None:
        """Take a connection on which both have agreed to speak so.

        Args:
            channel: The connection.
            deadlines: Have ``peer_silent`` and ``peer_answer``.
        """
        channel.find_dead_peer(deadlines, Carries.WORDS)
        self._channel = channel
        self._deadlines = deadlines
        self._came: deque[Message] = deque()
        self._news = asyncio.Event()
        self._is_heard = False
        #: The other end has said that it gives up, and so keeps nothing.
        self.has_given_up = False
        #: Why nothing more comes.
        self._end: JobError | None = None
        #: That, or what the other end has given up for.
        self._left: JobError | None = None
        self._lost: Callable[[JobError], None] | None = None
        #: One message after the other; none after one that has left by half.
        self._turn = asyncio.Lock()
        self._broken = False
        self._tasks = [
            asyncio.create_task(work) for work in (self._listen(), self._beat())
        ]

    def watch(self, lost: Callable[[JobError], None] | None) -> None:
        """Have somebody told at once if the other end gives up, or is gone.

        Args:
            lost: Is given what happened; None for nobody any more.
        """
        self._lost = lost
        if self._left is not None and lost is not None:
            lost(self._left)

    async def meanwhile(self, work: Awaitable[Value]) -> Value:
        """Wait for some work, while the other end is there; give what it gives.

        Raises:
            JobError: The other end has given up, or is gone; the work has stopped.
            Exception: Whatever the work raises.
        """
        task = asyncio.ensure_future(work)

        def stop(_: JobError) -> None:
            task.cancel()

        self.watch(stop)
        try:
            await asyncio.wait({task})
            if task.cancelled() and self._left is not None:
                raise self._left
            return task.result()
        finally:
            self.watch(None)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Stop; the descriptors stay their owner's, and are never used again."""
        self._lost = None
        self._end = PeerFailed("is not spoken to any more", "all was said")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ----- to the other end -------------------------------------------------------

    async def say(self, message: Message) -> None:
        """Send a message.

        Raises:
            PeerFailed: The connection has ended; not all of it has left.
            TimedOut: It takes no more; not all of it has left.
        """
        name = type(message).__name__
        async with self._turn:
            if self._end is not None:
                raise self._end
            if self._broken:
                raise PeerFailed(f"could not be told {name}", "it took no more")
            self._broken = True
            seconds = self._deadlines.peer_answer
            await self._channel.say(encode(message), "peer_answer", seconds, name)
            self._broken = False

    async def _beat(self) -> None:
        with contextlib.suppress(JobError):  # whoever has something to say meets it
            while True:
                await self.say(Beat())
                await asyncio.sleep(BEAT)

    # ----- from the other end -----------------------------------------------------

    async def hear(self, deadline: str | None) -> Message:
        """Wait for the next message that is no sign of life.

        Args:
            deadline: Name of what bounds it; None while there are signs of life.

        Raises:
            PeerFailed: The connection has ended, or what came is no message.
            TimedOut: It did not come, or the other end is silent.
        """
        seconds = None if deadline is None else getattr(self._deadlines, deadline)
        try:
            async with asyncio.timeout(seconds):
                while not self._came:
                    if self._end is not None:
                        raise self._end
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as exc:
            raise TimedOut(deadline or "", seconds or 0.0) from exc
        return self._came.popleft()

    async def hear_one(
        self,
        *kinds: type[Kind],
        failed: str,
        deadline: str | None = "peer_answer",
    ) -> Kind:
        """Wait for one of some kinds of messages, as the answer to what was said.

        Args:
            kinds: What is due.
            failed: What the other end has not done if something else comes.
            deadline: See :meth:`hear`.

        Raises:
            PeerFailed: It has given up, or said something else; see :meth:`hear`.
            TimedOut: See there.
        """
        message = await self.hear(deadline)
        if isinstance(message, kinds):
            return message
        if isinstance(message, GiveUp):
            raise PeerFailed("has given up", message.text)
        raise PeerFailed(failed, f"it said {type(message).__name__}")

    async def _listen(self) -> None:
        """Take all that comes, until the end."""
        try:
            while len(self._came) < WAITING:
                message = await self._message()
                if isinstance(message, Beat):
                    continue
                self._came.append(message)
                self._news.set()
                if isinstance(message, GiveUp):
                    self.has_given_up = True
                    self._tell(PeerFailed("has given up", message.text))
            self._ended(PeerFailed("can't be heard", "it says more than is due"))
        except JobError as exc:
            self._ended(exc)
        except RemoteProtocolError as exc:
            self._ended(PeerFailed("can't be understood", str(exc)))

    async def _message(self) -> Message:
        head = await self._read(PREFIX.size)
        (size,) = PREFIX.unpack(head)
        if not 0 < size <= LARGEST:
            raise RemoteProtocolError(f"a message of {size} bytes", head)
        self._is_heard = True
        return decode(await self._read(size))

    async def _read(self, size: int) -> bytes:
        # It may be busy with its hooks before it says anything.
        deadline = "peer_silent" if self._is_heard else "peer_answer"
        seconds = getattr(self._deadlines, deadline)
        return await self._channel.read(size, "what is due", deadline, seconds)

    def _ended(self, error: JobError) -> None:
        self._end = error
        self._news.set()
        self._tell(error)

    def _tell(self, error: JobError) -> None:
        self._left = self._left or error
        if self._lost is not None:
            self._lost(error)
