"""A xenstore: requests, transactions, watches; all bounded, also when it restarts.

    async with connect(path, timeout=10.0) as store:
        await store.write("/local/domain/7/control/shutdown", b"suspend")
        async with store.watch("@releaseDomain") as watch:
            await watch.changed()

Should the connection be lost, it is made again, see :mod:`libxlpy.xenstore.connection`;
a transaction then begins anew.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from libxlpy.errors import XenstoreError
from libxlpy.xenstore.connection import Connection, Place, Watch
from libxlpy.xenstore.wire import ConnectionLost
from libxlpy_protocol.fields import brief
from libxlpy_protocol.xenstore_wire import XsType, join, split

#: Tries at a transaction that others disturb.
TRANSACTION_TRIES = 32
#: Digits of a transaction's number, an u32.
NUMBER_MAX = 10
#: In place of the number of a transaction that is over.
ENDED = 0

T = TypeVar("T")


class Xenstore:
    """What is asked of a xenstore; made by :func:`connect`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._last_token = 0
        #: Handle -> where it is.
        self._transactions: dict[int, Place] = {}
        self._last_handle = 0

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

    async def remove(self, path: str, *, transaction: int = 0) -> None:
        """Remove a node with all below it; one that is not there is fine."""
        try:
            await self._ask(XsType.RM, path, transaction=transaction)
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

    # ----- transactions -----------------------------------------------------------

    async def transact(self, work: Callable[[int], Awaitable[T]]) -> T:
        """Do ``work`` in a transaction, again while others, or a restart, disturb it.

        Args:
            work: Gets the transaction's handle; must be safe to repeat, also after all
                was done: should the connection end at the commit, nobody knows.

        Raises:
            XenstoreError: A request failed, it was disturbed too often, or xenstored
                stays away.
        """
        loop = asyncio.get_running_loop()
        give_up_at = float("inf")
        for _ in range(TRANSACTION_TRIES):
            try:
                value, done = await self._try(work)
            except ConnectionLost:
                give_up_at = min(give_up_at, loop.time() + self.connection.timeout)
                if loop.time() >= give_up_at:
                    raise
                continue  # the next try waits for xenstored
            if done:
                return value
        raise XenstoreError("transaction disturbed too often", "EAGAIN")

    async def _try(self, work: Callable[[int], Awaitable[T]]) -> tuple[T, bool]:
        """Do a transaction once; give its value, and whether it is committed."""
        self._last_handle += 1
        handle = self._last_handle
        begin = self.connection.request(XsType.TRANSACTION_START, b"\0")
        wire, payload = await begin
        self._transactions[handle] = wire, _number(payload)
        try:
            value = await work(handle)
            return value, await self._commit(handle)
        finally:
            wire, number = self._transactions.pop(handle)
            if number != ENDED:  # given up; the answer is not waited for
                wire.post(XsType.TRANSACTION_END, b"F\0", number)

    async def _commit(self, handle: int) -> bool:
        """Commit a transaction; False if it must be done again."""
        place = self._transactions[handle]
        try:
            await self.connection.request(XsType.TRANSACTION_END, b"T\0", place)
        except XenstoreError as exc:
            if exc.code != "EAGAIN":
                raise
            return False
        finally:
            self._transactions[handle] = place[0], ENDED
        return True

    # ----- watches ----------------------------------------------------------------

    @asynccontextmanager
    async def watch(self, path: str) -> AsyncIterator[Watch]:
        """Watch a path; the first change is reported at once, as xenstored does it."""
        self._last_token += 1
        token = b"libxlpy-%d" % self._last_token
        async with self.connection.watch(path, token) as watch:
            yield watch

    async def _ask(
        self, kind: XsType, path: str, value: bytes = b"", *, transaction: int = 0
    ) -> bytes:
        place = self._transactions[transaction] if transaction else None
        payload = join([path.encode()]) + value
        return (await self.connection.request(kind, payload, place))[1]


def _number(payload: bytes) -> int:
    """Read a transaction's number.

    Raises:
        XenstoreError: It is none.
    """
    digits = payload.rstrip(b"\0")
    if not digits.isdigit() or len(digits) > NUMBER_MAX:
        raise XenstoreError(f"xenstored gave no transaction number: {brief(payload)}")
    return int(digits)


@asynccontextmanager
async def connect(
    path: Path,
    *,
    timeout: float,  # noqa: ASYNC109
    wait: bool = False,
) -> AsyncIterator[Xenstore]:
    """Connect to a xenstore.

    Args:
        path: Its socket.
        timeout: Seconds for connecting, and for each request.
        wait: It was there before: give it the time to come back.

    Raises:
        XenstoreError: It can't be reached.
    """
    connection = Connection(path, timeout)
    try:
        await connection.open(wait=wait)
        yield Xenstore(connection)
    finally:
        await connection.close()
