"""What both ends say once the copy is whole, in xl's handshake and in ours."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from libxlpy.deadlines import Deadlines
from libxlpy.errors import JobError, PeerFailed
from libxlpy.migration.channel import Channel
from libxlpy.migration.control import Control
from libxlpy_protocol.fields import TEXT_MAX, clip
from libxlpy_protocol.messages import Message
from libxlpy_protocol.migration.handshake import Word
from libxlpy_protocol.migration.own import (
    GiveUp,
    Go,
    GoPaused,
    HandOver,
    Held,
    Permission,
    Received,
    Report,
)
from libxlpy_protocol.migration.xl import REPORT, RUNS, TEXTS

#: Message -> the word that it is; a report is one of two.
WORDS: Final = {
    Received: Word.RECEIVED,
    Go: Word.GO,
    GoPaused: Word.GO,
    Permission: Word.PERMISSION,
    GiveUp: Word.GIVEN_UP,
    HandOver: Word.HAND_OVER,
}


class Talk(ABC):
    """One end's part of a conversation."""

    #: What the other end has said why, with its last word; "" if nothing.
    why = ""
    #: With GO: the guest was paused, and stays so; xl's handshake has no word for it.
    stays_paused = False

    @abstractmethod
    async def say(self, word: Word, why: str = "") -> None:
        """Say a word.

        Args:
            word: A handshake that has no such word says nothing.
            why: For DOES_NOT_RUN and GIVEN_UP, if the handshake can say it.

        Raises:
            PeerFailed: Not all of it has left: the connection has ended.
            TimedOut: Not all of it has left: the connection takes no more.
        """

    @abstractmethod
    async def hear(self, *words: Word, deadline: str | None) -> Word:
        """Wait for one of some words.

        Args:
            words: What may come; the first is what is due.
            deadline: Name of what bounds it; None while the other end is there.

        Raises:
            PeerFailed: Something else came, or the connection ended.
            TimedOut: Nothing came.
        """

    @abstractmethod
    def watch(self, lost: Callable[[JobError], None] | None) -> None:
        """Have somebody told at once if the other end gives up, or is gone.

        Args:
            lost: Is given what happened; None for nobody any more.
        """

    @property
    def has_given_up(self) -> bool:
        """The other end has said that it gives up, and so keeps nothing."""
        return False

    @abstractmethod
    async def close(self) -> None:
        """Have nothing more to say."""


class XlTalk(Talk):
    """In xl's handshake: on the connection of the stream, before and behind it."""

    def __init__(self, channel: Channel, deadlines: Deadlines) -> None:
        """Take the connection, and the deadlines for what is said."""
        self._channel = channel
        self._deadlines = deadlines

    async def say(self, word: Word, why: str = "") -> None:
        """See the base class."""
        if word in TEXTS:
            seconds = self._deadlines.peer_answer
            await self._channel.say(TEXTS[word], "peer_answer", seconds)

    async def hear(self, *words: Word, deadline: str | None) -> Word:
        """See the base class."""
        assert deadline is not None  # the end of the stream is all that is heard
        due, seconds = words[0], getattr(self._deadlines, deadline)
        if due is not Word.RUNS:
            await self._channel.hear(TEXTS[due], deadline, seconds)
            return due
        await self._channel.hear(REPORT, deadline, seconds)
        what = "the status of its copy"
        (status,) = await self._channel.read(1, what, deadline, seconds)
        self.why = f"status {status}"
        return Word.RUNS if status == RUNS else Word.DOES_NOT_RUN

    def watch(self, lost: Callable[[JobError], None] | None) -> None:
        """See the base class: here the end of the stream is the only such news."""

    async def close(self) -> None:
        """See the base class: the connection is the caller's."""


class OwnTalk(Talk):
    """In ours: on a connection of its own, at any time."""

    def __init__(self, control: Control) -> None:
        """Take the connection."""
        self._control = control

    async def say(self, word: Word, why: str = "") -> None:
        """See the base class."""
        message = _message(word, clip(why, TEXT_MAX))
        if word is Word.GO and self.stays_paused:
            message = GoPaused()
        await self._control.say(message)

    async def hear(self, *words: Word, deadline: str | None) -> Word:
        """See the base class."""
        message = await self._control.hear(deadline)
        self.why = getattr(message, "text", "")
        self.stays_paused |= isinstance(message, GoPaused)
        word = _word(message)
        if word in words:
            return word
        if word is Word.GIVEN_UP:
            raise PeerFailed("has given up", self.why)
        said = type(message).__name__
        raise PeerFailed(f'did not say "{words[0].value}"', f"it said {said}")

    # ----- epochs -----------------------------------------------------------------

    async def say_held(self, epoch: int) -> None:
        """Say that an epoch is held; errors as of :meth:`say`."""
        await self._control.say(Held(epoch))

    async def hear_held(self) -> int:
        """Wait for the next one that is, while the backup is there; give its number.

        Raises:
            PeerFailed: It has given up, says something else, or is gone.
            TimedOut: It is silent.
        """
        failed = "did not say which epoch it holds"
        return (await self._control.hear_one(Held, failed=failed, deadline=None)).epoch

    # ----- news -------------------------------------------------------------------

    def watch(self, lost: Callable[[JobError], None] | None) -> None:
        """See the base class."""
        self._control.watch(lost)

    @property
    def has_given_up(self) -> bool:
        """See the base class."""
        return self._control.has_given_up

    async def close(self) -> None:
        """See the base class."""
        await self._control.close()


def _message(word: Word, why: str) -> Message:
    match word:
        case Word.RECEIVED:
            return Received()
        case Word.GO:
            return Go()
        case Word.PERMISSION:
            return Permission()
        case Word.GIVEN_UP:
            return GiveUp(why)
        case Word.HAND_OVER:
            return HandOver()
        case _:
            return Report(word is Word.RUNS, why)


def _word(message: Message) -> Word | None:
    if isinstance(message, Report):
        return Word.RUNS if message.runs else Word.DOES_NOT_RUN
    return WORDS.get(type(message))
