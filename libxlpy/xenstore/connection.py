"""A connection to a xenstore that outlasts it: made again, with its watches.

A watch tells only *that* something changed, since what counts is what is read next; so
no number of events can fill any queue.

Once the connection is lost, it is made again by whoever needs it: watches are set again
(and fire, as what happened meanwhile is not known), and a request under way is made
again, which all of ours can be. An xenstored that stays away is told after the time
that one request may take.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libxlpy.errors import XenstoreError
from libxlpy.xenstore.wire import ConnectionLost, Wire, open_wire
from libxlpy_protocol.xenstore_wire import XsType, join

#: Seconds between two tries.
PAUSE = 0.02
NO_TRANSACTION = 0

#: Where a transaction is: on which connection, and its number there.
Place = tuple[Wire, int]


class Watch:
    """A path under watch."""

    def __init__(self, connection: "Connection", path: str, token: bytes) -> None:
        self.path = path
        self.token = token
        self._connection = connection
        self._fired = asyncio.Event()

    @property
    def names(self) -> bytes:
        """As xenstored is told of it."""
        return join([self.path.encode(), self.token])

    async def changed(self) -> None:
        """Wait until the path has, or may have, changed since the last call.

        Raises:
            XenstoreError: The connection was lost and xenstored stays away.
        """
        await self._connection.reconnect()
        await self._fired.wait()
        self._fired.clear()

    def fire(self) -> None:
        """Take note of a change."""
        self._fired.set()


class Connection:
    """One or more connections to the same socket, one after the other."""

    def __init__(self, path: Path, timeout: float) -> None:
        #: Seconds for each request, and for xenstored to come back.
        self.timeout = timeout
        self._path = path
        self._wire: Wire | None = None
        self._connecting = asyncio.Lock()
        #: Why the last one ended, until xenstored answers again; and since when.
        self._lost = ""
        self._lost_at = 0.0
        self._watches: dict[bytes, Watch] = {}

    async def open(self, *, wait: bool) -> None:
        """Make the first one.

        Args:
            wait: It was there before: give it the time to come back.

        Raises:
            XenstoreError: Xenstored can't be reached.
        """
        try:
            async with asyncio.timeout(self.timeout):
                await self._open()
        except ConnectionLost:
            if not wait:
                raise
            await self.reconnect()
        except TimeoutError as exc:
            text = f"can't reach xenstored at {self._path}: no answer"
            raise XenstoreError(text) from exc

    # ----- watches ----------------------------------------------------------------

    @asynccontextmanager
    async def watch(self, path: str, token: bytes) -> AsyncIterator[Watch]:
        """Watch a path, on each connection anew."""
        watch = Watch(self, path, token)
        self._watches[token] = watch
        try:
            await self._set(watch)
            yield watch
        finally:
            del self._watches[token]
            if self._wire is not None:
                self._wire.post(XsType.UNWATCH, watch.names)  # nobody waits for it

    async def _set(self, watch: Watch) -> None:
        try:
            await self.request(XsType.WATCH, watch.names)
        except XenstoreError as exc:
            if exc.code != "EEXIST":  # set when the connection was made again
                raise

    def _event(self, token: bytes) -> None:
        if token in self._watches:
            self._watches[token].fire()

    # ----- requests ---------------------------------------------------------------

    async def request(
        self, kind: XsType, payload: bytes, place: Place | None = None
    ) -> tuple[Wire, bytes]:
        """Make a request, again if need be; give the connection and the reply.

        Args:
            kind: Of the request.
            payload: Of the request.
            place: Of its transaction, which ends with its connection.

        Raises:
            ConnectionLost: The connection is, and with it the transaction.
            XenstoreError: Refused, no answer in time, or xenstored stays away.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await self._persist(kind, payload, place)
        except TimeoutError as exc:
            if self._lost:
                raise self._stays_away() from exc
            text = f"xenstored did not answer {kind.name} in {self.timeout:g} s"
            raise XenstoreError(text) from exc

    async def _persist(
        self, kind: XsType, payload: bytes, place: Place | None
    ) -> tuple[Wire, bytes]:
        while True:
            wire, number = place or (await self._connected(), NO_TRANSACTION)
            try:
                reply = await wire.ask(kind, payload, number)
            except ConnectionLost:
                if place is not None:
                    raise
                continue
            self._lost = ""
            return wire, reply

    async def reconnect(self) -> None:
        """See that the connection stands.

        Raises:
            XenstoreError: Xenstored stays away.
        """
        if self._wire is not None and not self._wire.lost:
            return
        try:
            async with asyncio.timeout_at(self._lost_at + self.timeout):
                await self._connected()
        except TimeoutError as exc:
            raise self._stays_away() from exc

    async def _connected(self) -> Wire:
        """Give the connection; try for ever to make it again if it is lost."""
        async with self._connecting:
            while self._wire is None or self._wire.lost:
                await asyncio.sleep(PAUSE)
                try:
                    await self._open()
                except ConnectionLost:
                    continue
            return self._wire

    async def _open(self) -> None:
        """Make the connection, and set all watches on it.

        Raises:
            ConnectionLost: Nobody listens, or it was lost at once.
        """
        await self.close()
        try:
            wire = await open_wire(self._path, self._event, self._note_loss)
        except ConnectionLost as exc:
            self._note_loss(str(exc))
            raise
        try:
            for watch in list(self._watches.values()):
                await wire.ask(XsType.WATCH, watch.names)
        except BaseException:
            await wire.close()
            raise
        self._wire = wire

    def _note_loss(self, why: str) -> None:
        """Remember the first reason; whoever watches shall look, and come back here."""
        if not self._lost:
            self._lost, self._lost_at = why, asyncio.get_running_loop().time()
        for watch in self._watches.values():
            watch.fire()

    def _stays_away(self) -> XenstoreError:
        return XenstoreError(f"{self._lost}, and was not back in {self.timeout:g} s")

    async def close(self) -> None:
        """Close the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()
