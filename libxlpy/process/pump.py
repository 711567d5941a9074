"""Control pipes <-> protocol session, without ever blocking or hogging the loop."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

from libxlpy.process.helper import HelperProcess
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.messages import (
    Answer,
    Hello,
    Log,
    Message,
    Start,
    ToolstackRestore,
)
from libxlpy_protocol.session import Event

#: Bytes taken per wake-up: a helper that floods us gets no more of the loop than this.
TAKEN = 4096
#: Bytes waiting for a helper that does not read: one large answer, and small frames.
OUTGOING_MAX = 4 << 20
#: Frames kept for the report, and characters kept of each.
FRAMES_KEPT = 24
FRAME_TEXT = 160

Direction = Literal["<", ">"]
#: Testing hook: called with ``"<"`` (from the helper) or ``">"`` for every message.
Observer = Callable[[Direction, Message], None]


class Conversation(Protocol):
    """The parent's end of a wire: ours, or libxl's; no I/O."""

    #: Id of the call or op that was sent last.
    last_call_id: int

    def receive(self, data: bytes) -> None:
        """Take what was read; ``b""`` is end of file."""
        ...

    def next_event(self) -> Event | None:
        """Give the next message of it, if there is one."""
        ...

    def send(self, message: Message, call_id: int = 0) -> bytes:
        """Give what is to be written."""
        ...


class Pump:
    """Move bytes between one helper's pipes and its session.

    ``on_event`` gets what the helper said; ``on_end`` is called exactly once, with None
    at a clean EOF or the error that ended the conversation: the helper's, or a defect
    of whatever took what it said.
    """

    def __init__(
        self,
        process: HelperProcess,
        session: Conversation,
        *,
        on_event: Callable[[Event], None],
        on_end: Callable[[Exception | None], None],
        observer: Observer | None = None,
    ) -> None:
        self._frames: deque[tuple[Direction, Message | str]] = deque(maxlen=FRAMES_KEPT)
        #: Bytes read.
        self.taken = 0
        #: Called after each read.
        self.on_read: Callable[[], None] = lambda: None
        self.ended = False
        self._session = session
        self._process = process
        self._on_event = on_event
        self._on_end = on_end
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._outgoing = bytearray()
        self._waiting = False
        self._loop.add_reader(process.read_fd, self._readable)

    @property
    def frames(self) -> tuple[str, ...]:
        """The last frames, as text."""
        return tuple(
            f"{direction} {kept if isinstance(kept, str) else frame_text(kept)}"
            for direction, kept in self._frames
        )

    # ----- to the helper ----------------------------------------------------------

    def send(self, message: Message, call_id: int = 0) -> int:
        """Queue a message.

        Returns:
            Its call id: the one given, or the one the session chose.

        Raises:
            LocalProtocolError: The state of the conversation forbids it.
        """
        if self.ended:
            raise LocalProtocolError("the conversation with the helper has ended")
        data = self._session.send(message, call_id)
        call_id = call_id or self._session.last_call_id
        self._note(">", message)
        self._outgoing += data
        if len(self._outgoing) > OUTGOING_MAX:
            self._end(RemoteProtocolError("the helper does not read what we send"))
        elif not self._waiting:
            self._write()
        return call_id

    def _write(self) -> None:
        """Write what the pipe takes now; be called again while there is more."""
        try:
            while self._outgoing and self._process.write_fd >= 0:
                del self._outgoing[: os.write(self._process.write_fd, self._outgoing)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._outgoing.clear()  # it is going; EOF or its death says the rest
        self._wait_writable(wanted=bool(self._outgoing))

    def _wait_writable(self, *, wanted: bool) -> None:
        if wanted == self._waiting or self._process.write_fd < 0:
            return
        self._waiting = wanted
        if wanted:
            self._loop.add_writer(self._process.write_fd, self._write)
        else:
            self._loop.remove_writer(self._process.write_fd)

    def hang_up(self) -> None:
        """Close our sending side: the helper reads EOF."""
        self._wait_writable(wanted=False)
        self._process.hang_up()

    # ----- from the helper --------------------------------------------------------

    def _readable(self) -> None:
        try:
            self._read()
        except Exception as exc:  # the boundary to the loop, which would only log it
            self._end(exc)

    def _read(self) -> None:
        try:
            data = os.read(self._process.read_fd, TAKEN)
        except BlockingIOError:
            return
        self.taken += len(data)
        self._session.receive(data)
        error: RemoteProtocolError | None = None
        try:
            while not self.ended and (event := self._session.next_event()):
                self._note("<", event.message)
                self._on_event(event)
        except RemoteProtocolError as exc:
            error = exc
        self.on_read()
        if error is not None or not data:
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        if not self.ended:
            self.close()
            self._on_end(error)

    def close(self) -> None:
        """Stop moving bytes; the descriptors belong to the process."""
        if not self.ended:
            self.ended = True
            self._wait_writable(wanted=False)
            self._loop.remove_reader(self._process.read_fd)

    def _note(self, direction: Direction, message: Message) -> None:
        kept = frame_text(message) if may_be_large(message) else message
        self._frames.append((direction, kept))
        if self._observer is not None:
            self._observer(direction, message)


def may_be_large(message: Message) -> bool:
    """Tell a message that is better not kept: most are a few numbers."""
    if isinstance(message, Answer):
        return not isinstance(message.value, int)
    return isinstance(message, Log | ToolstackRestore | Hello | Start)


def frame_text(message: Message) -> str:
    """Give a message as short text; large data as its size only."""
    match message:
        case Answer(value=bytes(data)) | ToolstackRestore(data=data):
            return f"{type(message).__name__}({len(data)} bytes)"
        case _:
            return f"{message!r:.{FRAME_TEXT}}"
