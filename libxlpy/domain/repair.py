"""Put right what a failed job left, then ask the hypervisor where the guest is.

Runs after the job's helper is gone, through the context's ops helper. Facts decide,
never the error: a guest is resumed only if it is really in shutdown(suspend) and only
if we had asked for it; one that was paused is paused first. Every step has its
deadline; one that fails is told and the next is done.
"""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from libxlpy.domain import hypercalls
from libxlpy.domain.info import DomainFacts, guest_state
from libxlpy.domain.pauses import put_back
from libxlpy.domain.suspend import GuestSuspend
from libxlpy.errors import DomainReused
from libxlpy.process.environment import Environment
from libxlpy.process.link import HelperLink
from libxlpy.results.report import FAILED, GuestState, Settled
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.enums import Op
from libxlpy_protocol.errors import LibxlpyError

if TYPE_CHECKING:  # whoever gives one has loaded it: a repair loads nothing
    from libxlpy.domain.device_model import DeviceModel

#: Tries at asking the hypervisor; the second one starts a new helper.
TRIES = 2
#: Seconds between two looks at a guest that may suspend late.
LATE_LOOK = 0.02


#: Fact of a device model that was told to log no more.
QUIET = "device model's log-dirty mode off"


class Repair:
    """The repair after one failed save."""

    def __init__(
        self,
        env: Environment,
        suspend: GuestSuspend,
        device_model: "DeviceModel | None",
    ) -> None:
        # ----- set by the caller -----
        self.env = env
        self.suspend = suspend
        self.device_model = device_model
        # ----- results -----
        self.told: list[str] = []
        self.guest = GuestState.UNKNOWN
        # ----- private -----
        self._domid = suspend.domid
        #: Xenstored, if it is away, is worth waiting for.
        self._waits = True

    async def run(self) -> Settled:
        """Do all steps, in order of execution."""
        asked, took_it = self.suspend.facts.asked, self.suspend.facts.acked
        if asked and not took_it:
            await self._look_after_request()
        try:
            await self._ask_hypervisor()
            if asked and took_it:
                await self._look_after_request()  # a slow xenstored keeps it no longer
        except DomainReused as exc:
            self.guest = GuestState.GONE
            self.told.append(str(exc))
        if self.device_model is not None and self.guest is GuestState.UNKNOWN:
            await self.quiet_device_model(self.device_model, None)
        return Settled(self.guest, tuple(self.told))

    async def _ask_hypervisor(self) -> None:
        """Do what needs hypercalls.

        Raises:
            DomainReused: There is nothing of the guest left to put right.
        """
        for _ in range(TRIES):
            try:
                async with self.env.hypercalls() as ops:
                    await self._with_hypervisor(ops)
                break
            except DomainReused:
                raise
            except LibxlpyError as exc:
                self.told.append(f"hypervisor could not be asked: {exc}")

    async def _look_after_request(self) -> None:
        fact = "request to suspend looked after"
        self._waits = await self._step(fact, self._withdraw(), self._patience)

    @property
    def _patience(self) -> float:
        """Seconds for a step with xenstored: it may come back."""
        return self.env.deadlines.repair + self.env.deadlines.xenstore

    def _store(self) -> AbstractAsyncContextManager[Xenstore]:
        path = self.env.backend.xenstore_socket
        seconds = self.env.deadlines.xenstore
        return connect(path, timeout=seconds, wait=self._waits)

    async def _withdraw(self) -> None:
        """Clear ``control/shutdown``, lest the guest suspends with nobody to resume."""
        async with self._store() as store:
            if await self.suspend.withdraw(store):
                self.suspend.facts.asked = self.suspend.facts.acked
                self.told.append("request to suspend withdrawn")
            else:
                self.suspend.facts.acked = True

    async def _with_hypervisor(self, ops: HelperLink) -> None:
        facts = await self._look(ops)
        if guest_state(facts) is GuestState.GONE:
            self.guest = GuestState.GONE
            return
        if self.suspend.facts.asked and not self.suspend.facts.suspended:
            await self._step("late guest waited for", self._wait_late(ops))
        uuid = self.suspend.uuid
        held = await self._hold(ops)
        logdirty = ops.checked_op(Op.LOGDIRTY_OFF, self._domid, uuid=uuid)
        await self._step("log-dirty mode off", logdirty)
        if self.device_model is not None:
            await self._run_device_model(self.device_model, ops)
        facts = await self._look(ops)
        mine = self.suspend.facts.asked and not self.suspend.facts.was_suspended
        if facts is not None and facts.suspended and mine and held:
            resume = ops.checked_op(
                Op.RESUME, self._domid, hypercalls.RESUME_CANCELLED, uuid=uuid
            )
            if await self._step("guest resumed", resume):
                self.suspend.resumed_at = time.monotonic()
                await self._step("xenstored told", self._tell(), self._patience)
        self.guest = guest_state(await self._look(ops))

    async def _hold(self, ops: HelperLink) -> bool:
        """Pause a guest again that was let run to suspend; False if it can't be."""
        facts = self.suspend.facts
        if not facts.lifted:
            return True
        paused = put_back(ops, self._domid, self.suspend.uuid, facts)
        return await self._step("guest paused again", paused)

    async def _tell(self) -> None:
        async with self._store() as store:
            await store.resume(self._domid)

    async def _look(self, ops: HelperLink) -> DomainFacts | None:
        return await hypercalls.find(ops, self._domid, self.suspend.uuid)

    async def _wait_late(self, ops: HelperLink) -> None:
        """Give a guest that had taken the request a moment to act on it.

        Only the hypervisor is asked: xenstored may be what has failed.
        """
        seconds = self.env.deadlines.repair_watch
        try:
            async with asyncio.timeout(seconds):
                while True:
                    facts = await self._look(ops)
                    if facts is None or facts.shut_down:
                        return
                    await asyncio.sleep(LATE_LOOK)
        except TimeoutError:
            self.told.append(
                f"guest did not suspend in {seconds:g} s more; it may do so later: "
                "the request can't be taken back"
            )

    # ----- device model -----------------------------------------------------------

    async def quiet_device_model(
        self, device_model: "DeviceModel", ops: HelperLink | None
    ) -> None:
        """Switch its dirty logging off, if it may be on."""
        if device_model.facts.logging:
            off = device_model.log_dirty(ops, enable=False)
            await self._step(QUIET, off)

    async def _run_device_model(
        self, device_model: "DeviceModel", ops: HelperLink
    ) -> None:
        await self.quiet_device_model(device_model, ops)
        if device_model.facts.stopped:
            await self._step("device model runs again", device_model.go_on(ops))

    # ----- private ----------------------------------------------------------------

    async def _step(
        self, fact: str, work: Awaitable[object], seconds: float = 0.0
    ) -> bool:
        """Do one step within its deadline, note how it went; tell whether it did.

        Args:
            fact: What it does.
            work: Does it.
            seconds: In place of the deadline ``repair``.

        Raises:
            DomainReused: The domid is another domain's: nothing more is to be done.
        """
        seconds = seconds or self.env.deadlines.repair
        try:
            async with asyncio.timeout(seconds):
                await work
        except TimeoutError:
            self.told.append(failed(fact, f"not done in {seconds:g} s"))
        except DomainReused:
            raise
        except (LibxlpyError, OSError) as exc:
            self.told.append(failed(fact, exc))
        else:
            self.told.append(fact)
            return True
        return False


async def ask_guest(env: Environment, domid: int, uuid: str = "") -> Settled:
    """Only ask where a guest is; the answer UNKNOWN has the reason with it."""
    settled = Settled()
    for _ in range(TRIES):
        try:
            async with env.hypercalls() as ops:
                facts = await hypercalls.find(ops, domid, uuid)
                return settled.replace(guest=guest_state(facts))
        except DomainReused as exc:
            return settled.replace(guest=GuestState.GONE).also(str(exc))
        except LibxlpyError as exc:
            settled = settled.also(f"hypervisor could not be asked: {exc}")
    return settled


# ----- what is told ---------------------------------------------------------------


def failed(fact: str, why: object = "") -> str:
    """Give the fact that something could not be done.

    Args:
        fact: What it is called once it is done.
        why: What was in the way, if that is known.
    """
    return f"{fact}{FAILED}: {why}" if why else f"{fact}{FAILED}"


def is_failed(fact: str) -> bool:
    """Tell whether it could not be done."""
    return FAILED in fact


def done_of(fact: str) -> str:
    """Give what it is called once it is done."""
    return fact.partition(FAILED)[0]
