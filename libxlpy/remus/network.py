"""A guest's interfaces: what it sends is seen once its epoch is acknowledged.

Until the first epoch is closed all passes: no copy is whole by then that could take
over, so nothing is to be hidden from anybody. From then on the kernel's plug holds what
is sent, of all protocols. It counts the packets of one closed epoch only: the next one
is not closed before the last one was committed.

What the guest sends beyond the plug's limit is lost, as on a line that is too thin;
:meth:`NetworkBuffer.held` tells.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from libxlpy.aio import ASIDE
from libxlpy.domain import plug
from libxlpy.domain.plug import LEAVE_SECONDS, LIMIT, Held, Plug
from libxlpy.errors import BackendError
from libxlpy.remus.devices import Device

#: Seconds for what passes to have left before the first mark; the guest is suspended.
FIRST_SECONDS = 0.5
#: Seconds for pyroute2 to be loaded.
LOAD_SECONDS = 120.0

ValueT = TypeVar("ValueT")


class NetworkBuffer(Device):
    """Those of one guest, in this host's kernel."""

    name = "network"

    def __init__(self, vifs: Sequence[str], domid: int, limit: int = LIMIT) -> None:
        """Take it; nothing is done yet.

        Args:
            vifs: Names on this host of all that frames of the guest come by.
            domid: Whose they are.
            limit: Bytes that may be held.
        """
        self.vifs = tuple(vifs)
        self._limit = limit
        self._plug = Plug(plug.ifb_name(domid))
        #: One thread, as pyroute2 ties its sockets to it, and a thread that begins
        #: anew for each step costs 4 ms of the guest's pause (0.9) rather than 0.6. It
        #: also keeps the steps in order whoever waits for them.
        self._thread = ThreadPoolExecutor(1, ASIDE)
        self._made = False
        self._closed = self._committed = 0

    async def load(self) -> None:
        """See that the kernel can be asked at all; before anything is done.

        Raises:
            NotSupported: There is no pyroute2.
            BackendError: It does not load.
        """
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await self._do(plug.load)
        except TimeoutError as exc:
            raise BackendError("pyroute2 does not load: its disk is slow") from exc

    async def setup(self) -> None:
        """See the base class.

        Raises:
            NotSupported: The kernel lacks a part of it, or there is no pyroute2.
            BackendError: It can't be done.
        """
        await self._do(self._set_up)

    def _set_up(self) -> None:
        self._plug.open()
        self._plug.make(self.vifs, self._limit)
        self._made = True

    async def postsuspend(self, epoch: int) -> None:
        """See the base class."""
        assert self._closed == self._committed, "the plug has room for one closed epoch"
        assert epoch == self._closed + 1, "an epoch was left out"
        self._closed = epoch
        await self._do(self._close_first if epoch == 1 else self._plug.mark)

    def _close_first(self) -> None:
        # What passes was not counted. Should some of it be there still, all that
        # follows would leave by so many packets too late; never too early.
        self._plug.drained(FIRST_SECONDS)
        self._plug.mark()

    async def preresume(self, epoch: int) -> None:
        """See the base class; it needs nothing."""

    async def commit(self, epoch: int) -> None:
        """See the base class."""
        assert epoch == self._closed == self._committed + 1, "it was not closed"
        self._committed = epoch  # steps are done in the order in which they are asked
        await self._do(self._plug.release)

    async def teardown(self) -> None:
        """See the base class.

        Raises:
            BackendError: Something is held still, or can't be removed.
        """
        try:
            await self._do(self._take_down)
        finally:
            self._thread.shutdown(wait=False)

    def _take_down(self) -> None:
        try:
            if self._made:  # else what is there is not ours
                self._plug.remove(LEAVE_SECONDS)
        finally:
            self._made = False
            self._plug.close()

    async def held(self) -> Held | None:
        """Tell what is held, and what was lost; None if it is not set up.

        Raises:
            BackendError: The kernel does not tell.
        """
        return await self._do(self._plug.held) if self._made else None

    async def _do(self, work: Callable[[], ValueT]) -> ValueT:
        loop = asyncio.get_running_loop()
        try:
            done = loop.run_in_executor(self._thread, work)
        except RuntimeError as exc:  # as of aside
            raise BackendError(f"{self.name}: {exc}") from exc
        return await done
