"""One connection to a xenstore: requests, transactions, watches; all bounded.

    async with connect(path, timeout=10.0) as store:
        await store.write("/local/domain/7/control/shutdown", b"suspend")
        async with store.watch("@releaseDomain") as watch:
            await watch.changed()

A watch tells only *that* something changed, since what counts is what is read next; so
no number of events can fill any queue.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from libxlpy.errors import XenstoreError
from libxlpy_protocol.errors import XenstoreWireError
from libxlpy_protocol.xenstore_wire import (
    Packet,
    PacketBuffer,
    XsType,
    encode,
    join,
    split,
)

#: Bytes taken per read.
TAKEN = 4096
#: Tries at a transaction that others disturb.
TRANSACTION_TRIES = 32
#: Digits of a transaction's number, an u32.
NUMBER_MAX = 10

T = TypeVar("T")


class Watch:
    """A path under watch."""

    def __init__(self, store: "Xenstore", path: str, token: bytes) -> None:
        self.path = path
        self.token = token
        self._store = store
        self._fired = asyncio.Event()

    async def changed(self) -> None:
        """Wait until the path has changed since the last call.

        Raises:
            XenstoreError: The connection is lost.
        """
        await self._fired.wait()
        self._fired.clear()
        self._store.check()

    def fire(self) -> None:
        """Take note of a change."""
        self._fired.set()


class Xenstore:
    """A connection to a xenstore; made by :func:`connect`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._timeout = timeout
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Packet]] = {}
        self._watches: dict[bytes, Watch] = {}
        self._lost = ""

    # ----- requests ---------------------------------------------------------------

    async def read(self, path: str, *, transaction: int = 0) -> bytes | None:
        """Give a node's value; None if there is no such node."""
        try:
            return await self._ask(XsType.READ, path, transaction=transaction)
        except XenstoreError as exc:
            if exc.code == "ENOENT":
                return None
            raise

    async def read_text(self, path: str, *, transaction: int = 0) -> str:
        """Give a node's value as text, "" if there is no such node."""
        value = await self.read(path, transaction=transaction)
        return (value or b"").decode("utf-8", "replace")

    async def write(self, path: str, value: bytes, *, transaction: int = 0) -> None:
        """Set a node's value; it and its parents are made if need be."""
        await self._ask(XsType.WRITE, path, value, transaction=transaction)

    async def remove(self, path: str) -> None:
        """Remove a node with all below it; one that is not there is fine."""
        try:
            await self._ask(XsType.RM, path)
        except XenstoreError as exc:
            if exc.code != "ENOENT":
                raise

    async def directory(self, path: str) -> list[str]:
        """Give the names of a node's children, none if there is no such node."""
        try:
            payload = await self._ask(XsType.DIRECTORY, path)
        except XenstoreError as exc:
            if exc.code == "ENOENT":
                return []
            raise
        return [name.decode("utf-8", "replace") for name in split(payload)]

    async def resume(self, domid: int) -> None:
        """Tell xenstored that a domain runs again after a shutdown."""
        await self._ask(XsType.RESUME, str(domid))

    async def transact(self, work: Callable[[int], Awaitable[T]]) -> T:
        """Do ``work`` in a transaction, again while others disturb it.

        Args:
            work: Gets the transaction's number; must be safe to repeat.

        Raises:
            XenstoreError: A request failed, or it was disturbed too often.
        """
        for _ in range(TRANSACTION_TRIES):
            number = _number(await self._request(XsType.TRANSACTION_START, b"\0"))
            try:
                value = await work(number)
            except BaseException:
                if not self._lost:  # given up; the answer is not waited for
                    self._send(XsType.TRANSACTION_END, b"F\0", number)
                raise
            if await self._commit(number):
                return value
        raise XenstoreError("transaction disturbed too often", "EAGAIN")

    async def _commit(self, number: int) -> bool:
        """Commit a transaction; False if it must be done again."""
        try:
            await self._request(XsType.TRANSACTION_END, b"T\0", number)
        except XenstoreError as exc:
            if exc.code == "EAGAIN":
                return False
            raise
        return True

    @asynccontextmanager
    async def watch(self, path: str) -> AsyncIterator[Watch]:
        """Watch a path; the first change is reported at once, as xenstored does it."""
        self._last_id += 1
        watch = Watch(self, path, b"libxlpy-%d" % self._last_id)
        names = join([path.encode(), watch.token])
        self._watches[watch.token] = watch
        try:
            await self._request(XsType.WATCH, names)
            yield watch
        finally:
            del self._watches[watch.token]
            if not self._lost:
                self._send(XsType.UNWATCH, names, 0)  # its answer is not waited for

    # ----- packets ----------------------------------------------------------------

    async def _ask(
        self, kind: XsType, path: str, value: bytes = b"", *, transaction: int = 0
    ) -> bytes:
        return await self._request(kind, join([path.encode()]) + value, transaction)

    async def _request(
        self, kind: XsType, payload: bytes, transaction: int = 0
    ) -> bytes:
        """Send a request and wait for its reply.

        Raises:
            XenstoreError: Refused, no answer in time, or the connection is lost.
        """
        self.check()
        number = self._send(kind, payload, transaction)
        reply: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()
                packet = await reply
        except TimeoutError as exc:
            text = f"xenstored did not answer {kind.name} in {self._timeout:g} s"
            raise XenstoreError(text) from exc
        except OSError as exc:
            raise XenstoreError(f"connection to xenstored lost: {exc}") from exc
        finally:
            self._waiting.pop(number, None)
        if packet.type == XsType.ERROR:
            code = packet.payload.rstrip(b"\0").decode("ascii", "replace")[:32]
            what = payload.split(b"\0")[0].decode("utf-8", "replace")
            raise XenstoreError(f"xenstored: {kind.name} {what}: {code}", code)
        if packet.type != kind:
            raise XenstoreError(f"xenstored answered {kind.name} with {packet.type}")
        return packet.payload

    def _send(self, kind: XsType, payload: bytes, transaction: int) -> int:
        self._last_id = self._last_id % 0x7FFFFFFF + 1
        try:
            data = encode(Packet(kind, self._last_id, transaction, payload))
        except XenstoreWireError as exc:
            raise XenstoreError(f"{kind.name}: {exc}", "E2BIG") from exc
        self._writer.write(data)
        return self._last_id

    def check(self) -> None:
        """Raise if the connection is lost."""
        if self._lost:
            raise XenstoreError(self._lost)

    async def receive(self) -> None:
        """Hand out what arrives until the connection ends; a task of its own."""
        buffer = PacketBuffer()
        why = "xenstored closed the connection"
        try:
            while data := await self._reader.read(TAKEN):
                for packet in buffer.feed(data):
                    self._hand_out(packet)
        except (OSError, XenstoreWireError) as exc:
            why = f"connection to xenstored lost: {exc}"
        finally:
            self._lose(why)

    def _hand_out(self, packet: Packet) -> None:
        if packet.type == XsType.WATCH_EVENT:
            for token in split(packet.payload)[1:2]:
                if token in self._watches:
                    self._watches[token].fire()
            return
        waiting = self._waiting.get(packet.req_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(packet)

    def _lose(self, why: str) -> None:
        self._lost = why
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(XenstoreError(why))
        for watch in self._watches.values():
            watch.fire()


def _number(payload: bytes) -> int:
    """Read a transaction's number.

    Raises:
        XenstoreError: It is none.
    """
    digits = payload.rstrip(b"\0")
    if not digits.isdigit() or len(digits) > NUMBER_MAX:
        raise XenstoreError(f"xenstored gave no transaction number: {payload!r:.40}")
    return int(digits)


@asynccontextmanager
async def connect(path: Path, *, timeout: float) -> AsyncIterator[Xenstore]:  # noqa: ASYNC109
    """Connect to a xenstore.

    Args:
        path: Its socket.
        timeout: Seconds for connecting, and for each request.

    Raises:
        XenstoreError: It can't be reached.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError as exc:
        why = exc.strerror or "no answer"
        raise XenstoreError(f"can't reach xenstored at {path}: {why}") from exc
    store = Xenstore(reader, writer, timeout)
    receiver = asyncio.create_task(store.receive(), name="libxlpy xenstore")
    try:
        yield store
    finally:
        receiver.cancel()
        writer.transport.abort()
        await asyncio.wait([receiver])
        await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Wait until the transport has closed its socket, whatever it ended with."""
    try:
        await writer.wait_closed()
    except OSError:
        return  # it had failed before: closed all the same
