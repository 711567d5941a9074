"""Ask a guest to suspend and find out, as a fact, whether it did.

In order of execution: write ``control/shutdown`` = "suspend" in a transaction; wait for
the guest's acknowledgement (it writes something else, normally ""); wait until the
hypervisor says shutdown(suspend). A guest that offers an event channel for it is asked
by that instead, and acknowledges nothing. One without PV drivers can't read xenstore:
it is shut down by hypercall.

What happened is kept in :class:`GuestSuspend` for the repair after a failure. Nothing
here is told as a guest's timeout but a guest that did not answer.

Xen: tools/libs/light/libxl_dom_suspend.c, domain_suspend_callback_common().
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.domain import hypercalls
from libxlpy.domain.info import REASON_SUSPEND, DomainType
from libxlpy.domain.suspend_event import ask_by_event, offered_port
from libxlpy.errors import DomainReused, GuestFailed, GuestTimedOut
from libxlpy.process.link import HelperLink
from libxlpy.xenstore import Watch, Xenstore, connect
from libxlpy_protocol.enums import Op

ASK = b"suspend"
#: Seconds after which the hypervisor is asked even if no watch fired.
LOOK_AGAIN = 1.0


class GuestSuspend:
    """One request to one guest, and what is known of it."""

    def __init__(
        self,
        domid: int,
        uuid: str,
        kind: DomainType,
        backend: Backend,
        deadlines: Deadlines,
    ) -> None:
        # ----- set by the caller -----
        self.domid = domid
        #: Another domain that comes to have the domid is not touched.
        self.uuid = uuid
        self.kind: DomainType = kind
        # ----- results: facts -----
        #: The request may have reached the guest.
        self.asked = False
        #: The guest took the request out of ``control/shutdown``; or it was asked by
        #: what can't be taken back.
        self.acked = False
        #: The hypervisor said shutdown(suspend).
        self.suspended = False
        #: It was so before we asked; then it is not ours to resume.
        self.was_suspended = False
        #: When it was seen suspended, and was resumed, monotonic seconds; 0 before.
        self.suspended_at = 0.0
        self.resumed_at = 0.0
        #: Called when one of the facts changes, before it is acted on.
        self.changed: Callable[[], None] = lambda: None
        #: Called with what the caller should know of how the guest is asked.
        self.remark: Callable[[str], None] = lambda text: None
        # ----- private -----
        #: How often the request was written; again if a commit was lost or disturbed.
        self._writes = 0
        self._backend = backend
        self._deadlines = deadlines

    @property
    def path(self) -> str:
        """Node of the request."""
        return f"/local/domain/{self.domid}/control/shutdown"

    # ----- in order of execution --------------------------------------------------

    async def suspend(self, ops: HelperLink) -> None:
        """Have the guest suspend.

        Args:
            ops: Asks the hypervisor.

        Raises:
            GuestTimedOut: It did not acknowledge, or not suspend, in time.
            GuestFailed: It is gone or has shut down for another reason.
            XenstoreError: Xenstored can't be used.
            BackendError: The hypervisor can't be asked.
        """
        with self._mine():
            await self._suspend(ops)

    async def check(self, ops: HelperLink) -> None:
        """See that the guest has not ended.

        Raises:
            GuestFailed: It has.
            BackendError: The hypervisor can't be asked.
        """
        with self._mine():
            await self._is_suspended(ops)

    @contextmanager
    def _mine(self) -> Iterator[None]:
        """A domid that is another domain's tells that the guest has ended."""
        try:
            yield
        except DomainReused as exc:
            text = f"domain {self.domid} is another domain now"
            raise GuestFailed("gone", text) from exc

    async def _suspend(self, ops: HelperLink) -> None:
        if await self._is_suspended(ops):
            self.was_suspended = True
            self.changed()
            return
        async with (
            connect(
                self._backend.xenstore_socket,
                timeout=self._deadlines.xenstore,
                wait=True,
            ) as store,
            store.watch("@releaseDomain") as release,
        ):
            if await self._ask_by_event(store, ops):
                pass
            elif await self._has_drivers(ops):
                await self._ask(store, ops, release)
            else:
                self.asked = self.acked = True
                self.changed()
                await ops.checked_op(
                    Op.SHUTDOWN, self.domid, REASON_SUSPEND, uuid=self.uuid
                )
            await self._wait_suspended(ops, release)
            if self._writes > 1:
                # The first may have been answered: it must not be asked once more
                # when it is resumed.
                await self.withdraw(store)

    async def _ask_by_event(self, store: Xenstore, ops: HelperLink) -> bool:
        """Ask by the guest's event channel; False if it has none that can be used."""
        port = await offered_port(store, self.domid)
        if not port or not await self._is_awake(ops):
            return False
        self.asked = self.acked = True  # before it is: the answer may be lost
        self.changed()
        path = self._backend.suspend_lock_path(self.domid)
        try:
            why = await ask_by_event(ops, self.domid, self.uuid, port, path)
        except DomainReused:
            self.asked = self.acked = False
            raise
        if why:
            self.asked = self.acked = False
            self.changed()
            self.remark(f"guest's event channel for suspend can't be used: {why}")
        return not why

    async def _is_awake(self, ops: HelperLink) -> bool:
        """Tell whether the guest's kernel can take an event."""
        if self.kind != "hvm":
            return True
        return await hypercalls.is_awake(ops, self.domid, self.uuid)

    async def _has_drivers(self, ops: HelperLink) -> bool:
        """Tell whether the guest's kernel reads its xenstore nodes."""
        if self.kind != "hvm":
            return True
        return await hypercalls.has_pv_drivers(ops, self.domid, self.uuid)

    async def _ask(self, store: Xenstore, ops: HelperLink, release: Watch) -> None:
        """Write the request and wait for the acknowledgement."""
        seconds = self._deadlines.suspend_ack
        async with store.watch(self.path) as control:
            self.asked = True  # before the commit: its answer may be lost
            self.changed()
            if not await self._write_request(store):
                raise GuestFailed("gone", f"domain {self.domid} is another domain now")
            try:
                async with asyncio.timeout(seconds):
                    while not self.acked:
                        await first_change(control, release)
                        self.acked = await store.read(self.path) != ASK
                        if await self._is_suspended(ops):
                            self.acked = True
            except TimeoutError as exc:
                self.acked = not await self.withdraw(store)
                if not self.acked:
                    self.asked = False  # it can't see the request any more
                    text = (
                        f"guest did not answer the request to suspend in {seconds:g} s"
                    )
                    raise GuestTimedOut(text) from exc

    async def _wait_suspended(self, ops: HelperLink, release: Watch) -> None:
        """Wait until the hypervisor says shutdown(suspend)."""
        seconds = self._deadlines.suspend
        try:
            async with asyncio.timeout(seconds):
                while not await self._is_suspended(ops):
                    await first_change(release, ops.suspend_event)
        except TimeoutError as exc:
            agreed = "agreed" if self._writes else "was asked"
            text = f"guest {agreed} to suspend but did not in {seconds:g} s"
            raise GuestTimedOut(text) from exc

    async def _is_suspended(self, ops: HelperLink) -> bool:
        """Tell whether the guest is suspended.

        Raises:
            GuestFailed: It can't be any more.
            DomainReused: It has ended, and another domain has its domid.
        """
        facts = await hypercalls.find(ops, self.domid, self.uuid)
        if facts is None or facts.dying:
            raise GuestFailed("gone")
        if facts.suspended:
            self.suspended = True
            self.suspended_at = self.suspended_at or time.monotonic()
        elif facts.shut_down:
            raise GuestFailed(facts.reason)
        return self.suspended

    # ----- the node of the request ------------------------------------------------

    async def _write_request(self, store: Xenstore) -> bool:
        """Write it; False if the node is another domain's by now."""

        async def work(number: int) -> bool:
            if not await self._is_ours(store, number):
                return False
            self._writes += 1
            await store.write(self.path, ASK, transaction=number)
            return True

        return await store.transact(work)

    async def withdraw(self, store: Xenstore) -> bool:
        """Take the request back if it is still there; tell whether it was."""

        async def work(number: int) -> bool:
            if await store.read(self.path, transaction=number) != ASK:
                return False
            if not await self._is_ours(store, number):
                return False
            await store.write(self.path, b"", transaction=number)
            return True

        return await store.transact(work)

    async def _is_ours(self, store: Xenstore, number: int) -> bool:
        """Tell whether xenstored's nodes of the domid are still our guest's.

        Read in the transaction that writes: should they change hands meanwhile, it is
        disturbed and all is done again.
        """
        vm = await store.read_text(f"/local/domain/{self.domid}/vm", transaction=number)
        return not (self.uuid and vm) or vm == f"/vm/{self.uuid}"


# ----- small things ---------------------------------------------------------------


class Changing(Protocol):
    """What can be waited for: a watch, a bell."""

    async def changed(self) -> object:
        """Wait for the next change."""
        ...


async def first_change(*watches: Changing, seconds: float = LOOK_AGAIN) -> None:
    """Wait until one of some watches fires, or for so long.

    Raises:
        XenstoreError: The connection is lost.
    """
    tasks = {asyncio.create_task(watch.changed()) for watch in watches}
    try:
        done, _ = await asyncio.wait(
            tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
