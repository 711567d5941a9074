"""Tell a guest that it is about to be suspended to migrate; it may hold that back.

A guest that wants time writes ``data/libxlpy/hold`` = "1", whenever it likes. Before it
is asked to suspend, ``control/libxlpy/migrate`` = "soon" is written; if it holds by
then, it is waited for until it has written something else, or removed its node, for a
bounded time. Should it stay here, our node is removed. On the other host are neither:
xenstore does not move.

A guest may write below ``data`` and only read ``control``, as libxl makes them.
"""

import asyncio
from collections.abc import Awaitable, Callable

from libxlpy.aio import first_change
from libxlpy.domain import hypercalls
from libxlpy.errors import DomainReused
from libxlpy.process.environment import Environment
from libxlpy.process.link import HelperLink
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.errors import LibxlpyError

FOLDER = "control/libxlpy"
NOTICE, SOON = f"{FOLDER}/migrate", b"soon"
HOLD, HOLDS = "data/libxlpy/hold", b"1"


class GuestNotice:
    """What one guest is told; nothing of it fails a migration."""

    def __init__(self, env: Environment, domid: int, uuid: str) -> None:
        """Take a guest.

        Args:
            env: Backend and deadlines.
            domid: Of the guest.
            uuid: Its own; another domain that comes to have the domid is told nothing.
        """
        self._env = env
        self._domid = domid
        self._uuid = uuid
        self._told = False

    async def tell(self, ops: HelperLink, held: Callable[[], None]) -> str:
        """Tell it; wait if it holds.

        Args:
            ops: Asks the hypervisor.
            held: Called if it is waited for.

        Returns:
            What people should know; "" if there is nothing.
        """
        try:
            async with connect(
                self._env.backend.xenstore_socket,
                timeout=self._env.deadlines.xenstore,
                wait=True,
            ) as store:
                self._told = True  # before: the answer may be lost
                await _if_own(store, self._domid, self._uuid, self._write)
                if not await self._holds(store, ops):
                    return ""
                held()
                return await self._wait(store, ops)
        except LibxlpyError as exc:
            return f"guest was not told that it migrates: {exc}"

    async def withdraw(self) -> str:
        """Tell it that it stays, if it was told; give what people should know."""
        if not self._told:
            return ""
        self._told = False
        try:
            await withdraw(self._env, self._domid, self._uuid)
        except LibxlpyError as exc:
            return f"guest was not told that it stays here: {exc}"
        return ""

    async def _write(self, store: Xenstore, number: int) -> None:
        await store.write(_path(self._domid, NOTICE), SOON, transaction=number)

    # ----- it holds ---------------------------------------------------------------

    async def _wait(self, store: Xenstore, ops: HelperLink) -> str:
        seconds = self._env.deadlines.guest_hold
        async with (
            store.watch(_path(self._domid, HOLD)) as hold,
            store.watch("@releaseDomain") as release,
        ):
            try:
                async with asyncio.timeout(seconds):
                    while await self._holds(store, ops):
                        await first_change(hold, release)
            except TimeoutError:
                text = f"guest held its migration back for {seconds:g} s"
                return f"{text} (deadline guest_hold): it was not waited for any longer"
        return ""

    async def _holds(self, store: Xenstore, ops: HelperLink) -> bool:
        """Tell whether it holds, and could let go: one that does not run can't."""
        if await store.read(_path(self._domid, HOLD)) != HOLDS:
            return False
        try:
            facts = await hypercalls.find(ops, self._domid, self._uuid)
        except DomainReused:
            return False
        return facts is not None and not (
            facts.paused or facts.shut_down or facts.dying
        )


# ----- nodes ----------------------------------------------------------------------


async def withdraw(env: Environment, domid: int, uuid: str) -> None:
    """Tell a guest that it stays; one that was told nothing notices nothing.

    Raises:
        XenstoreError: Xenstored can't be asked.
    """

    async def remove(store: Xenstore, number: int) -> None:
        await store.remove(_path(domid, FOLDER), transaction=number)

    timeout = env.deadlines.xenstore
    async with connect(env.backend.xenstore_socket, timeout=timeout) as store:
        await _if_own(store, domid, uuid, remove)


async def _if_own(
    store: Xenstore,
    domid: int,
    uuid: str,
    work: Callable[[Xenstore, int], Awaitable[None]],
) -> None:
    """Do something in a transaction in which the nodes are that guest's."""

    async def checked(number: int) -> None:
        vm = await store.read_text(_path(domid, "vm"), transaction=number)
        if vm == f"/vm/{uuid}":
            await work(store, number)

    await store.transact(checked)


def _path(domid: int, node: str) -> str:
    return f"/local/domain/{domid}/{node}"
