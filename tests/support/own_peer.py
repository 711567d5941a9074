"""The other end of our own handshake, played by a test, and breaking off."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from typing import Self, TypeVar

from libxlpy.streams import Format, StreamParser
from libxlpy_protocol.framing import PREFIX
from libxlpy_protocol.messages import Message
from libxlpy_protocol.migration.own import (
    READY,
    VERSION,
    Accept,
    Beat,
    Offer,
    decode,
    encode,
)
from tests.support.peers import CHUNK, PATIENCE, Peer
from tests.support.real_host import QUICK

Kind = TypeVar("Kind", bound=Message)
#: Between two signs of life.
BEAT = 0.2
#: Of the product's end: short where a test waits for one to pass.
DEADLINES = QUICK.replace(
    peer_ready=1.0, peer_built=2.0, peer_answer=2.0, peer_silent=1.0
)


class OwnPeer(Peer):
    """One end of the control connection, and of the stream's."""

    stream: socket.socket
    #: The product's end of the stream, for a test that hands it in.
    given: socket.socket
    _beating: asyncio.Task[None]

    @classmethod
    @contextlib.asynccontextmanager
    async def both(cls) -> AsyncIterator[tuple[Self, socket.socket, socket.socket]]:
        """Give an end for the test, and the product's of control and stream."""
        async with cls.connected() as (peer, control):
            peer.stream, stream = socket.socketpair()
            peer.given = stream
            peer._beating = asyncio.create_task(peer._beat())
            try:
                with peer.stream, stream:
                    yield peer, control, stream
            finally:
                peer.be_silent()
                await asyncio.gather(peer._beating, return_exceptions=True)

    def be_silent(self) -> None:
        """Give no more signs of life."""
        self._beating.cancel()

    async def _beat(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(BEAT)
                await self.tell(Beat())

    async def tell(self, message: Message) -> None:
        await self.say(encode(message))

    async def told(self, kind: type[Kind]) -> Kind:
        """Wait for a message; signs of life are passed over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                (size,) = PREFIX.unpack(await self.reader.readexactly(PREFIX.size))
                message = decode(await self.reader.readexactly(size))
                if isinstance(message, kind):
                    return message
                assert isinstance(message, Beat), message

    # ----- a receiver -------------------------------------------------------------

    async def accept(self) -> Offer:
        """Take what is offered; the first sign of life may come before."""
        await self.say(READY)
        offer = await self.told(Offer)
        await self.tell(Accept(VERSION, "test", "landing"))
        return offer

    async def take_stream(self) -> None:
        """Read a whole stream, strictly."""
        parser = StreamParser(Format.LIBXL)
        loop = asyncio.get_running_loop()
        self.stream.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            while not parser.finished:
                data = await loop.sock_recv(self.stream, CHUNK)
                assert data, "the stream ends before its END"
                parser.feed(data)

    # ----- a sender ---------------------------------------------------------------

    async def give_stream(self, image: bytes) -> None:
        """Write a stream; the other end may stop reading it."""
        loop = asyncio.get_running_loop()
        self.stream.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            await loop.sock_sendall(self.stream, image)

    def end_stream(self) -> None:
        """End it where it is."""
        os.close(self.stream.detach())
