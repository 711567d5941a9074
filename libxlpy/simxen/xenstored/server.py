"""The store's unix socket: each client acts as dom0."""

import asyncio
from pathlib import Path

from libxlpy.simxen.xenstored.connection import Connection
from libxlpy.simxen.xenstored.store import Store
from libxlpy_protocol.errors import XenstoreWireError
from libxlpy_protocol.xenstore_wire import (
    Packet,
    PacketBuffer,
    encode,
)

#: Bytes a client may leave unread before it is dropped: it would hold memory for ever.
MAX_UNREAD = 4 << 20


class _Client(asyncio.Protocol):
    """Bytes of one socket <-> packets of one connection."""

    def __init__(self, server: "XenstoreServer", store: Store) -> None:
        self._server = server
        self._store = store
        self._clients = server.clients
        self._buffer = PacketBuffer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._clients.add(transport)
        self._connection = Connection(self._store, 0, self._deliver)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.discard(self._transport)
        self._connection.close()

    def data_received(self, data: bytes) -> None:
        if self._server.silent:
            return
        self._buffer.feed(data)
        try:
            for packet in iter(self._buffer.next_packet, None):
                self._connection.handle(packet)
        except XenstoreWireError:
            self._transport.abort()  # no way to find the next packet

    def _deliver(self, packet: Packet) -> None:
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._transport.abort()
        else:
            self._transport.write(encode(packet))


class XenstoreServer:
    """Serves a store on a unix socket.

    Args:
        store: What to serve.
        path: Where the socket is made; its folder is closed to others.
    """

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self._path = path
        self.clients: set[asyncio.Transport] = set()
        #: It takes requests and answers none.
        self.silent = False
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to take clients.

        Raises:
            OSError: The socket can't be made.
        """
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Client(self, self._store), str(self._path)
        )

    def drop(self) -> None:
        """End all connections, with their watches and transactions."""
        for transport in tuple(self.clients):
            transport.abort()

    async def stop(self) -> None:
        """Drop all clients and remove the socket; nothing if it was stopped."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        self.drop()
        await server.wait_closed()
        self._path.unlink(missing_ok=True)

    # ------------------------------------------------------------ misbehaviour

    async def misbehave(self, fault: str) -> None:
        """Do what is in ``faults.XENSTORED_FAULTS``; "" is well again, and running.

        Source: the store survives a restart, as with Xen's live update; connections,
        watches and transactions do not.
        """
        self.silent = fault == "silent"
        if fault == "drop":
            self.drop()
        elif fault in ("die", "restart"):
            await self.stop()
        if fault in ("", "restart") and self._server is None:
            await self.start()
