"""One connection to a xenstore: packets out, each with its reply, and events in."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from libxlpy.errors import XenstoreError, reason_of
from libxlpy.forked import Owned, lead_nowhere
from libxlpy_protocol.errors import XenstoreWireError
from libxlpy_protocol.xenstore_wire import Packet, PacketBuffer, XsType, encode, split

#: Bytes taken per read.
TAKEN = 4096


class ConnectionLost(XenstoreError):  # noqa: N818 - what happened
    """The connection has ended; whether the request was done nobody knows."""


class Wire(Owned):
    """A connection that stands, or has stood; made by :func:`open_wire`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_event: Callable[[bytes], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """Take packets from now on.

        Args:
            reader: Of the connection.
            writer: Of the connection.
            on_event: Told the token of each watch that fires.
            on_lost: Told once why the connection is lost, unless we close it.
        """
        super().__init__()
        #: Why it ended; "" while it stands.
        self.lost = ""
        self._reader = reader
        self._writer = writer
        self._on_event = on_event
        self._on_lost = on_lost
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Packet]] = {}
        self._receiver = asyncio.create_task(self._receive(), name="libxlpy xenstore")

    # ----- out --------------------------------------------------------------------

    async def ask(self, kind: XsType, payload: bytes, transaction: int = 0) -> bytes:
        """Send a request and wait for its reply, however long.

        Raises:
            ConnectionLost: There is none.
            XenstoreError: Refused.
        """
        if self.lost:
            raise ConnectionLost(self.lost)
        number = self.post(kind, payload, transaction)
        reply: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            await self._writer.drain()
            packet = await reply
        except OSError as exc:
            why = f"connection to xenstored lost: {reason_of(exc)}"
            del self._waiting[number]
            self._fail(why)  # now: the receiver may not have had its turn yet
            raise ConnectionLost(why) from exc
        finally:
            self._waiting.pop(number, None)
        return _checked(packet, kind, payload)

    def post(self, kind: XsType, payload: bytes, transaction: int = 0) -> int:
        """Send a request whose reply nobody may wait for; give its number.

        Raises:
            XenstoreError: It is too large.
        """
        self._last_id = self._last_id % 0x7FFFFFFF + 1
        try:
            data = encode(Packet(kind, self._last_id, transaction, payload))
        except XenstoreWireError as exc:
            raise XenstoreError(f"{kind.name}: {exc}", "E2BIG") from exc
        if not self.lost:
            self._writer.write(data)
        return self._last_id

    # ----- in ---------------------------------------------------------------------

    async def _receive(self) -> None:
        buffer = PacketBuffer()
        why = "xenstored closed the connection"
        try:
            while data := await self._reader.read(TAKEN):
                buffer.feed(data)
                for packet in iter(buffer.next_packet, None):
                    self._hand_out(packet)
        except (OSError, XenstoreWireError) as exc:
            why = f"connection to xenstored lost: {exc}"
        self._fail(why)
        self._on_lost(why)

    def _hand_out(self, packet: Packet) -> None:
        if packet.type == XsType.WATCH_EVENT:
            for token in split(packet.payload)[1:2]:
                self._on_event(token)
            return
        waiting = self._waiting.get(packet.req_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(packet)

    def _fail(self, why: str) -> None:
        self.lost = self.lost or why
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionLost(why))

    # ----- end --------------------------------------------------------------------

    def disown(self) -> None:
        """Have it lost: what is sent by it is the parent's to say."""
        self.lost = self.lost or "connection of another process"
        lead_nowhere([self._writer.get_extra_info("socket").fileno()])

    async def close(self) -> None:
        """Close it, whatever it ended with."""
        self._fail("connection closed")
        self._receiver.cancel()
        self._writer.transport.abort()
        await asyncio.wait([self._receiver])
        try:
            await self._writer.wait_closed()
        except OSError:
            return  # it had failed before: closed all the same


def _checked(packet: Packet, kind: XsType, payload: bytes) -> bytes:
    """Give a reply's payload.

    Raises:
        XenstoreError: It is a refusal, or no reply to that.
    """
    if packet.type == XsType.ERROR:
        code = packet.payload.rstrip(b"\0").decode("ascii", "replace")[:32]
        what = payload.split(b"\0")[0].decode("utf-8", "replace")
        raise XenstoreError(f"xenstored: {kind.name} {what}: {code}", code)
    if packet.type != kind:
        raise XenstoreError(f"xenstored answered {kind.name} with {packet.type}")
    return packet.payload


async def open_wire(
    path: Path, on_event: Callable[[bytes], None], on_lost: Callable[[str], None]
) -> Wire:
    """Connect; see :class:`Wire`.

    Raises:
        ConnectionLost: Nobody listens.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError as exc:
        why = f"can't reach xenstored at {path}: {reason_of(exc)}"
        raise ConnectionLost(why) from exc
    return Wire(reader, writer, on_event, on_lost)
