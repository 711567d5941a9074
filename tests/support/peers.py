"""The other end of a migration, played by a test, which breaks off where it likes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Self

from libxlpy.streams import Format, StreamParser
from libxlpy_protocol.migration.xl import GO, READY, RECEIVED, REPORT

#: Seconds for what must come; a bound, not a measure.
PATIENCE = 20.0
CHUNK = 65536


class Peer:
    """One end of a connection, in the test's hands."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.config = b""

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls) -> AsyncIterator[tuple[Self, socket.socket]]:
        """Give an end for the test, and one for the product."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            yield cls(reader, writer), theirs
        finally:
            theirs.close()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    # ----- what either end does ---------------------------------------------------

    async def say(self, message: bytes) -> None:
        for at in range(0, len(message), CHUNK):
            self.writer.write(message[at : at + CHUNK])
            await self.writer.drain()
            await asyncio.sleep(0)  # others get their turn

    async def hear(self, message: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            assert await self.reader.readexactly(len(message)) == message

    def hang_up(self) -> None:
        """End the connection, both ways."""
        self.writer.transport.abort()

    def stop_listening(self) -> None:
        """Have what the other end writes from here on fail."""
        self.writer.get_extra_info("socket").shutdown(socket.SHUT_RD)

    async def ends(self) -> bytes:
        """Wait for the end of what the other end says; give what came before it."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    # ----- a receiver -------------------------------------------------------------

    async def take_all(self) -> None:
        """Say READY and read a whole saved domain, strictly."""
        await self.say(READY)
        parser = StreamParser(Format.XL)
        async with asyncio.timeout(PATIENCE):
            while not parser.finished:
                data = await self.reader.read(CHUNK)
                assert data, "the stream ends before its END"
                parser.feed(data)

    async def take_to_go(self) -> None:
        """Go through all up to GO, as xl does."""
        await self.take_all()
        await self.say(RECEIVED)
        await self.hear(GO)

    async def report(self, status: int) -> None:
        await self.say(REPORT)
        await self.say(bytes([status]))
