"""The acknowledgements of a backup, said there and heard here.

On the control connection if the handshake was ours; on a descriptor of their own for
who has no handshake, as libxl's `recv_fd`.
"""

from typing import Protocol

from libxlpy.deadlines import Deadlines
from libxlpy.errors import PeerFailed
from libxlpy.migration.channel import Channel
from libxlpy.migration.talk import OwnTalk
from libxlpy_protocol.acks import ACK_SIZE, pack_ack, unpack_ack
from libxlpy_protocol.errors import StreamFormatError


class Acks(Protocol):
    """One end of it."""

    async def say(self, epoch: int) -> None:
        """Say that an epoch is held.

        Raises:
            PeerFailed: The primary is gone.
            TimedOut: It does not listen.
        """
        ...

    async def heard(self) -> int:
        """Wait for the next one, as long as it takes; give its epoch.

        Raises:
            PeerFailed: The backup is gone, has given up, or what came is none.
            TimedOut: It gives no sign of life.
        """
        ...


class SpokenAcks:
    """In our own handshake."""

    def __init__(self, talk: OwnTalk) -> None:
        """Take the conversation."""
        self._talk = talk

    async def say(self, epoch: int) -> None:
        """See :class:`Acks`."""
        await self._talk.say_held(epoch)

    async def heard(self) -> int:
        """See :class:`Acks`."""
        return await self._talk.hear_held()


class WrittenAcks:
    """On a descriptor, which stays its owner's."""

    def __init__(self, fd: int, deadlines: Deadlines) -> None:
        """Take a pipe's end, or a socket.

        Args:
            fd: Read by the primary, written by the backup.
            deadlines: Have ``peer_answer``.

        Raises:
            UsageError: It is neither.
        """
        self._channel = Channel(fd, fd)
        self._deadlines = deadlines

    async def say(self, epoch: int) -> None:
        """See :class:`Acks`."""
        seconds = self._deadlines.peer_answer
        what = f"that epoch {epoch} is held"
        await self._channel.say(pack_ack(epoch), "peer_answer", seconds, what)

    async def heard(self) -> int:
        """See :class:`Acks`."""
        data = await self._channel.read(ACK_SIZE, "an acknowledgement", "", None)
        try:
            return unpack_ack(data)
        except StreamFormatError as exc:
            raise PeerFailed("can't be understood", str(exc)) from exc
