"""Ask a guest to suspend and find out, as a fact, whether it did.

In order of execution: write ``control/shutdown`` = "suspend" in a transaction; wait for
the guest's acknowledgement (it writes something else, normally ""); wait until the
hypervisor says shutdown(suspend). A guest that offers an event channel for it is asked
by that instead, and acknowledges nothing. One without PV drivers can't read xenstore:
it is shut down by hypercall. A paused guest that has to run for it does, once it is
asked, and is paused again.

What happened is kept in ``GuestFacts`` for the repair after a failure. Nothing
here is told as a guest's timeout but a guest that did not answer.

Xen: tools/libs/light/libxl_dom_suspend.c, domain_suspend_callback_common().
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from libxlpy.aio import first_change
from libxlpy.domain import hypercalls
from libxlpy.domain.pauses import is_held, lift, put_back
from libxlpy.domain.suspend_event import ask_by_event, offered_port
from libxlpy.errors import DomainReused, GuestFailed, GuestTimedOut
from libxlpy.process.environment import Environment
from libxlpy.process.link import HelperLink
from libxlpy.results.report import DomainType, GuestFacts
from libxlpy.xenstore import Watch, Xenstore, connect
from libxlpy_protocol.enums import Op
from libxlpy_protocol.xen import SHUTDOWN_SUSPEND

if TYPE_CHECKING:  # only an HVM guest has one
    from libxlpy.domain.device_model import DeviceModel

ASK = b"suspend"


class GuestSuspend:
    """One request to one guest, and what is known of it."""

    def __init__(
        self,
        env: Environment,
        domid: int,
        uuid: str,
        kind: DomainType,
        facts: GuestFacts,
    ) -> None:
        """Take a guest.

        Args:
            env: Backend and deadlines.
            domid: Of the guest.
            uuid: Its own; another domain that comes to have the domid is not touched.
            kind: Of the domain.
            facts: Of the guest; brought up to date.
        """
        # ----- set by the caller -----
        self.domid = domid
        self.uuid = uuid
        self.kind: DomainType = kind
        self.facts = facts
        #: Of an HVM guest: it may have been stopped as long as the guest was paused.
        self.device_model: DeviceModel | None = None
        # ----- results -----
        #: When it was seen suspended, and was resumed, monotonic seconds; 0 before.
        self.suspended_at = 0.0
        self.resumed_at = 0.0
        #: Called with what the caller should know of how the guest is asked.
        self.remark: Callable[[str], None] = lambda text: None
        # ----- private -----
        #: It was paused, and was let run.
        self._was_paused = False
        #: How often the request was written; again if a commit was lost or disturbed.
        self._writes = 0
        self._backend = env.backend
        self._deadlines = env.deadlines

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
            self.facts.note(was_suspended=True)
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
                await self._let_run(ops)
            elif await self._has_drivers(ops):
                await self._ask(store, ops, release)
            else:
                self.facts.note(asked=True, acked=True)
                await ops.checked_op(
                    Op.SHUTDOWN, self.domid, SHUTDOWN_SUSPEND, uuid=self.uuid
                )
            await self._wait_suspended(ops, release)
            await put_back(ops, self.domid, self.uuid, self.facts)
            if self._writes > 1:
                # The first may have been answered: it must not be asked once more
                # when it is resumed.
                await self.withdraw(store)

    async def _ask_by_event(self, store: Xenstore, ops: HelperLink) -> bool:
        """Ask by the guest's event channel; False if it has none that can be used."""
        port = await offered_port(store, self.domid)
        if not port or not await self._is_awake(ops):
            return False
        # Before it is asked: the answer may be lost.
        self.facts.note(asked=True, acked=True)
        path = self._backend.suspend_lock_path(self.domid)
        try:
            why = await ask_by_event(ops, self.domid, self.uuid, port, path)
        except DomainReused:
            self.facts.asked = self.facts.acked = False
            raise
        if why:
            self.facts.note(asked=False, acked=False)
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
            self.facts.note(asked=True)  # before the commit: its answer may be lost
            if not await self._write_request(store):
                raise GuestFailed("gone", f"domain {self.domid} is another domain now")
            await self._let_run(ops)
            try:
                async with asyncio.timeout(seconds):
                    while not self.facts.acked:
                        await first_change(control, release)
                        self.facts.acked = await store.read(self.path) != ASK
                        if await self._is_suspended(ops):
                            self.facts.acked = True
            except TimeoutError as exc:
                self.facts.acked = not await self.withdraw(store)
                if not self.facts.acked:
                    self.facts.asked = False  # it can't see the request any more
                    text = f"did not answer the request to suspend in {seconds:g} s"
                    raise self._timed_out(text) from exc

    async def _let_run(self, ops: HelperLink) -> None:
        """Let a paused guest run, which was asked: it can do nothing else about it."""
        if not await is_held(ops, self.domid, self.uuid):
            return
        self._was_paused = True
        self.remark("guest is paused: it is let run for as long as it takes to suspend")
        if self.device_model is not None:
            await self.device_model.go_on(ops)
        await lift(ops, self.domid, self.uuid, self.facts)

    async def _wait_suspended(self, ops: HelperLink, release: Watch) -> None:
        """Wait until the hypervisor says shutdown(suspend)."""
        seconds = self._deadlines.suspend
        try:
            async with asyncio.timeout(seconds):
                while not await self._is_suspended(ops):
                    await first_change(release, ops.suspend_event)
        except TimeoutError as exc:
            agreed = "agreed" if self._writes else "was asked"
            text = f"{agreed} to suspend but did not in {seconds:g} s"
            raise self._timed_out(text) from exc

    def _timed_out(self, text: str) -> GuestTimedOut:
        text = f"guest {text}"
        if self._was_paused:
            text += ": it was paused, and let run for that only"
        return GuestTimedOut(text)

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
            self.facts.suspended = True
            self.suspended_at = self.suspended_at or time.monotonic()
        elif facts.shut_down:
            raise GuestFailed(facts.reason)
        return self.facts.suspended

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
