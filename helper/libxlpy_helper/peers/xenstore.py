"""A small synchronous xenstore client, for the repair after the parent is lost.

Every wait is bounded; what a lying xenstored says can end in OSError only. One that
restarts is waited for and connected to once more.
"""

from __future__ import annotations

import errno
import os
import select
import time
from _socket import AF_UNIX, SOCK_STREAM, socket  # C's: 3 ms less than ``socket``
from contextlib import closing

from libxlpy_protocol.errors import XenstoreWireError
from libxlpy_protocol.xenstore_wire import (
    Packet,
    PacketBuffer,
    XsType,
    encode,
    errno_of,
    join,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

READ_SIZE: Final = 4096
COMMIT: Final = b"T"
ROLL_BACK: Final = b"F"
#: A xenstored that is not there, or has its hands full, may restart.
AWAY: Final = (ConnectionRefusedError, FileNotFoundError, BlockingIOError)
CONNECT_INTERVAL: Final = 0.02  # seconds between two looks for a xenstored


class LostError(OSError):
    """The connection has ended; what was asked may have been done."""


class XenstoreClient:
    """One connection; every method raises OSError, TimeoutError included."""

    def __init__(self, path: str, end_by: float, silence_max: float) -> None:
        """Connect to ``path``.

        Args:
            path: Of the socket.
            end_by: Nothing lasts beyond it; monotonic seconds.
            silence_max: Seconds to wait for anything to come.
        """
        self._path = path
        self._end_by = end_by
        self._silence_max = silence_max
        self._buffer = PacketBuffer()
        self._req_id = 0
        self._is_second = False  # connection, and the last
        self._fd = -1
        try:
            self._fd = _open(path)
        except AWAY:
            self._connect_again()

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1

    def read(self, path: str, tx_id: int = 0) -> bytes:
        """Return a node's value."""
        return self._request(XsType.READ, join([path.encode()]), tx_id)

    def write(self, path: str, value: bytes, tx_id: int = 0) -> None:
        """Set a node's value."""
        self._request(XsType.WRITE, join([path.encode()]) + value, tx_id)

    def begin(self) -> int:
        """Start a transaction; return its id."""
        reply = self._request(XsType.TRANSACTION_START, b"\0", 0)
        try:
            return int(reply.rstrip(b"\0"))
        except ValueError:
            raise OSError("xenstored: malformed transaction id") from None

    def end(self, tx_id: int, how: bytes) -> None:
        """End a transaction, ``COMMIT`` or ``ROLL_BACK``.

        Raises:
            BlockingIOError: EAGAIN: it conflicted with another one.
        """
        self._request(XsType.TRANSACTION_END, join([how]), tx_id)

    def transact(self, work: Callable[[int], bool]) -> bool:
        """Do ``work`` in a transaction, again while others, or a restart, disturb it.

        Args:
            work: Gets its id; what it returns tells whether to commit. Safe to repeat,
                also after all was done: the answer to the commit may be lost.
        """
        while True:
            try:
                tx_id = self.begin()
                done = work(tx_id)
                self.end(tx_id, COMMIT if done else ROLL_BACK)
            except BlockingIOError:
                continue
            return done

    def resume(self, domid: int) -> None:
        """Make xenstored forget that the domain was shut down."""
        self._request(XsType.RESUME, join([str(domid).encode()]), 0)

    def _request(self, kind: XsType, payload: bytes, tx_id: int) -> bytes:
        """Ask; once more on a new connection if this one ends, and is the first.

        Raises:
            BlockingIOError: The transaction ended with the connection.
        """
        try:
            return self._ask(kind, payload, tx_id)
        except LostError:
            if self._is_second:
                raise
            self._connect_again()
        if tx_id:
            raise BlockingIOError(errno.EAGAIN, "xenstored: the transaction is lost")
        return self._ask(kind, payload, tx_id)

    def _connect_again(self) -> None:
        self.close()
        self._is_second = True
        self._buffer = PacketBuffer()
        until = min(self._end_by, time.monotonic() + self._silence_max)
        while True:
            try:
                self._fd = _open(self._path)
            except AWAY:
                if time.monotonic() >= until:
                    raise TimeoutError("xenstored has gone") from None
                time.sleep(CONNECT_INTERVAL)
            else:
                return

    def _ask(self, kind: XsType, payload: bytes, tx_id: int) -> bytes:
        self._req_id += 1
        try:
            self._send(encode(Packet(kind, self._req_id, tx_id, payload)))
        except XenstoreWireError as exc:  # a transaction id that is none
            raise OSError(f"xenstored: {exc}") from exc
        while True:
            packet = self._receive()
            if packet.req_id == self._req_id and packet.type != XsType.WATCH_EVENT:
                return _payload(packet, kind)

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._wait(select.POLLOUT)
            try:
                view = view[os.write(self._fd, view) :]
            except (BrokenPipeError, ConnectionResetError) as exc:
                raise LostError(exc.errno, "xenstored has gone") from None

    def _receive(self) -> Packet:
        try:
            while (packet := self._buffer.next_packet()) is None:
                self._buffer.feed(self._read_some())
        except XenstoreWireError as exc:
            raise OSError(f"xenstored: {exc}") from exc
        return packet

    def _read_some(self) -> bytes:
        self._wait(select.POLLIN)
        try:
            data = os.read(self._fd, READ_SIZE)
        except ConnectionResetError as exc:
            raise LostError(exc.errno, "xenstored has gone") from None
        if not data:
            raise LostError(errno.EPIPE, "xenstored closed the connection")
        return data

    def _wait(self, events: int) -> None:
        poll = select.poll()
        poll.register(self._fd, events)
        left = min(self._end_by - time.monotonic(), self._silence_max)
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError("xenstored does not answer")


def _open(path: str) -> int:
    with closing(socket(AF_UNIX, SOCK_STREAM)) as sock:
        sock.setblocking(False)
        sock.connect(path)  # a full backlog fails at once
        return sock.detach()


def _payload(packet: Packet, asked: XsType) -> bytes:
    if packet.type == XsType.ERROR:
        name = packet.payload.rstrip(b"\0").decode("ascii", "replace")
        raise OSError(errno_of(name), f"xenstored: {name}")
    if packet.type != asked:
        raise OSError(f"xenstored: answer of type {packet.type}, not {asked}")
    return packet.payload
