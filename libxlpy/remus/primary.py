"""Protect a guest: epoch by epoch what it is goes to a backup, in order of execution.

First a live copy, as of a save. Then, for each epoch: the guest is suspended, its
device model stopped and saved, what it has sent is closed off -> the pages that it has
written -> it runs again -> the rest of the epoch -> the backup says that it has all of
it -> what the guest has sent is let go -> after the interval the next one.

Whatever fails, the guest runs on here, without protection, and what was held back
leaves in order. It never ends by itself: :meth:`Protect.stop` ends it.

Xen: tools/libs/light/libxl_remus.c.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from libxlpy.callbacks import AnswerTo
from libxlpy.domain import hypercalls
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.repair import ask_guest
from libxlpy.domain.resume import tell_resumed
from libxlpy.domain.suspend import GuestSuspend
from libxlpy.errors import JobError, TimedOut, UsageError
from libxlpy.jobs.operation import Run
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.operations.flags import SuspendFlags
from libxlpy.operations.save import SUSPENDED, GuestSave
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.remus.acks import Acks
from libxlpy.remus.devices import Device, Devices
from libxlpy.remus.epochs import Epochs
from libxlpy.results.of_jobs import RemusResult
from libxlpy.results.report import JobReport, Kind, Settled
from libxlpy_protocol.enums import Mode, Op, StreamType
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import CallMessage, Checkpoint, Postcopy, Start

#: Answers to libxenguest.
GO_ON, ENOUGH = 1, 0
#: Pauses that are remembered.
PAUSES = 4096


class Protect(GuestSave[RemusResult]):
    """The protection of one guest, on the host where it runs."""

    kind: Kind = "remus"

    def __init__(
        self,
        env: Environment,
        domid: int,
        acks: Acks,
        *,
        interval: float,
        devices: Iterable[Device] = (),
    ) -> None:
        """Protect a domain.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            domid: Of the domain.
            acks: What the backup says.
            interval: Seconds that the guest runs, at least, between two suspends.
            devices: What is held back until an epoch is acknowledged.
        """
        super().__init__(env, domid, SuspendFlags.LIVE)
        self.epochs = Epochs()
        #: Seconds that the guest was suspended at the end of the last epochs.
        self.pauses: deque[float] = deque(maxlen=PAUSES)
        self._acks = acks
        self._interval = interval
        self._devices = Devices(devices)
        self._resumed_at = 0.0
        self._stopping = asyncio.Event()
        #: An epoch was acknowledged.
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Have it end with the epoch under way; the guest runs on here."""
        self._stopping.set()

    # ----- before the job ---------------------------------------------------------

    async def prepare(self) -> None:
        """See that the domain can be protected; set up what is to be held back."""
        await super().prepare()
        await self._devices.setup()

    def take(self, info: DomainInfo) -> None:
        """See the base class.

        Raises:
            UsageError: It does not run: there would be no epochs.
        """
        if info.shutdown or info.paused:
            state = "suspended" if info.shutdown else "paused"
            text = f"domain {info.domid} is {state}: what does not run is not protected"
            raise UsageError(text)
        super().take(info)
        self.calls |= {Postcopy, Checkpoint}

    async def discard(self) -> None:
        """See the base class."""
        await super().discard()
        await self._devices.teardown()

    # ----- the helper -------------------------------------------------------------

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        plain = super().start(stream_fd)
        return plain.replace(mode=Mode.REMUS, stream_type=StreamType.REMUS)

    def began(self, run: Run) -> None:
        """See the base class; the backup may speak from here on."""
        super().began(run)
        self._listening = asyncio.create_task(self._listen(run))

    def guards(self, stream: StreamFd) -> bool:
        """See the base class: the guest is left running, there is nothing to guard."""
        return False

    async def _listen(self, run: Run) -> None:
        """Take what the backup acknowledges, and let it be seen, in order."""
        try:
            while True:
                epoch = await self._acks.heard()
                self.epochs.acknowledge(epoch)
                await self._devices.commit(epoch)
                self._news.set()
        except JobError as exc:
            run.fail(exc, Step.ABORT)

    # ----- callbacks, in order of execution ---------------------------------------

    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        """Do what libxenguest asks for."""
        match call:
            case Postcopy():
                return await self._let_run(run)
            case Checkpoint():
                return await self._next()
            case _:
                return await super().answer(call, run)

    def limit(self, call: CallMessage) -> float | None:
        """See the base class; the wait for the next epoch bounds itself."""
        return None if isinstance(call, Checkpoint) else super().limit(call)

    async def _suspend_guest(self, run: Run) -> int:
        """See the base class: the end of an epoch."""
        if not self.epochs.closed:
            run.precopy.close()
            run.enter("first epoch")
        assert run.link is not None
        await self._ask_guest(run.link)
        if self._device_model is not None:
            await self._device_model.stop_and_save(run.link)
            await self._device_model.leave()
        await self._devices.postsuspend(self.epochs.close())
        return SUSPENDED

    async def _let_run(self, run: Run) -> int:
        """Let the guest run: its memory is written; what else it was, is kept."""
        assert run.link is not None
        await self._devices.preresume(self.epochs.closed)
        if self._device_model is not None:
            await self._device_model.go_on(run.link)
            await self._device_model.leave()
        how = hypercalls.RESUME_CANCELLED
        await run.link.checked_op(Op.RESUME, self.domid, how, uuid=self.uuid)
        self._resumed_at = time.monotonic()
        self.pauses.append(self._resumed_at - self._suspend.suspended_at)
        await tell_resumed(self.env, self.domid)
        self.guest.note(asked=False, acked=False, suspended=False)
        self._suspend = self._new_request()
        return GO_ON

    def _new_request(self) -> GuestSuspend:
        before = self._suspend
        request = GuestSuspend(self.env, self.domid, self.uuid, before.kind, self.guest)
        request.device_model, request.remark = before.device_model, before.remark
        return request

    async def _next(self) -> int:
        """Wait until the backup holds what it has to, and the interval has passed."""
        seconds = self.deadlines.peer_silent
        try:
            async with asyncio.timeout(seconds):
                while not self.epochs.may_close:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as exc:
            raise TimedOut("peer_silent", seconds) from exc
        with suppress(TimeoutError):
            left = self._resumed_at + self._interval - time.monotonic()
            async with asyncio.timeout(max(left, 0.0)):
                await self._stopping.wait()
        return ENOUGH if self._stopping.is_set() else GO_ON

    # ----- the end ----------------------------------------------------------------

    async def examine(self, run: Run, stream: StreamFd) -> None:
        """See the base class: it was stopped, and what counts is asked for then."""

    async def settle(self, run: Run) -> Settled:
        """Have the guest run, then let go what was held back."""
        try:
            if run.started:
                settled = await self._repair(run)
            else:
                settled = await ask_guest(self.env, self.domid, self.uuid)
        finally:
            await self._end_listening()
        return settled.also(*await self._devices.teardown())

    async def _end_listening(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError, LibxlpyError):
                await self._listening

    def result(self, run: Run, report: JobReport) -> RemusResult:
        """Give what was protected until it was stopped."""
        return RemusResult.of(report, run.record.stat, self.epochs.acknowledged)
