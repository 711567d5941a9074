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

    def __init__(self, store: Store, clients: "set[asyncio.Transport]") -> None:
        self._store = store
        self._clients = clients
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
        try:
            for packet in self._buffer.feed(data):
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
        self._clients: set[asyncio.Transport] = set()

    async def start(self) -> None:
        """Begin to take clients.

        Raises:
            OSError: The socket can't be made.
        """
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Client(self._store, self._clients), str(self._path)
        )

    async def stop(self) -> None:
        """Drop all clients and remove the socket."""
        self._server.close()
        for transport in tuple(self._clients):
            transport.abort()
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)
