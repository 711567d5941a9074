"""Protect a guest: epoch by epoch what it is goes to a backup, in order of execution.

First a live copy, as of a save. Then, for each epoch: the guest is suspended, its
device model stopped and saved, what it has sent is closed off -> the pages that it has
written -> it runs again -> the rest of the epoch -> the backup says that it has all of
it -> what the guest has sent is let go -> after the interval the next one.

Whatever fails, the guest runs on here, without protection, and what was held back
leaves in order. It never ends by itself: :meth:`Protect.stop` ends it, the guest here,
or :meth:`Protect.switch_over`: then it goes on at the backup, as after a migration.

Xen: tools/libs/light/libxl_remus.c.
"""

import asyncio
import enum
import time
from collections.abc import Iterable
from contextlib import suppress

from libxlpy.callbacks import AnswerTo
from libxlpy.domain import hypercalls
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.repair import ask_guest
from libxlpy.domain.resume import tell_resumed
from libxlpy.domain.suspend import GuestSuspend
from libxlpy.errors import JobError, NotSupported, TimedOut, UsageError
from libxlpy.jobs.operation import Run
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.migration.channel import Channel
from libxlpy.migration.sender import Sender
from libxlpy.migration.talk import OwnTalk
from libxlpy.operations.flags import SuspendFlags
from libxlpy.operations.save import SUSPENDED
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.remus.acks import Acks, SpokenAcks
from libxlpy.remus.devices import Device, Devices
from libxlpy.remus.devices_of import devices_of
from libxlpy.remus.epochs import Epochs
from libxlpy.remus.figures import Clock, RemusFigures
from libxlpy.remus.host import BackupHost
from libxlpy.remus.info import RemusInfo, checked
from libxlpy.results.of_jobs import RemusResult
from libxlpy.results.report import JobReport, Kind, Settled
from libxlpy_protocol.enums import Mode, Op, StreamType
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import CallMessage, Checkpoint, Postcopy, Start
from libxlpy_protocol.migration.handshake import Word
from libxlpy_protocol.migration.own import READY_TO_HOLD

#: Answers to libxenguest.
GO_ON, ENOUGH = 1, 0


class Ending(enum.Enum):
    """How a protection is asked to end."""

    #: The guest runs on here.
    STOP = "stop"
    #: It goes on at the backup.
    SWITCH_OVER = "switch over"


class Protect(Sender[RemusResult]):
    """The protection of one guest, on the host where it runs."""

    kind: Kind = "remus"
    ready = READY_TO_HOLD

    def __init__(
        self,
        env: Environment,
        domid: int,
        channel: Channel,
        info: RemusInfo,
        host: BackupHost,
        devices: Iterable[Device] = (),
    ) -> None:
        """Protect a domain.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            domid: Of the domain.
            channel: To the backup.
            info: What is wanted; the guest runs its interval, at least, between two
                suspends.
            host: The backup's.
            devices: What is held back besides what the guest has here.

        Raises:
            UsageError: ``info`` can't be used.
        """
        super().__init__(
            env,
            domid,
            channel,
            SuspendFlags.LIVE,
            connect=host.connect,
            config=host.config,
            reached_by=host.reached_by,
            hooks=host.hooks,
        )
        self.epochs = Epochs()
        self._clock = Clock()
        self._acks: Acks
        self._info = checked(info)
        self._devices = Devices(devices)
        self._resumed_at = 0.0
        self._ending: Ending | None = None
        self._asked_to_end = asyncio.Event()
        #: An epoch was acknowledged, and committed.
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        #: The guest has had its last epoch here.
        self.gives_away = False

    @property
    def what(self) -> str:
        """See the base class."""
        return f"protection of domain {self.domid}"

    @property
    def figures(self) -> RemusFigures:
        """What was measured of its epochs."""
        return self._clock.figures(self.epochs.acknowledged)

    def stop(self) -> None:
        """Have it end with the epoch under way; the guest runs on here."""
        self._end_by(Ending.STOP)

    def switch_over(self) -> None:
        """Have it end with the next epoch; the guest goes on at the backup."""
        self._end_by(Ending.SWITCH_OVER)

    def _end_by(self, ending: "Ending") -> None:
        self._ending = self._ending or ending
        self._asked_to_end.set()

    # ----- before the job ---------------------------------------------------------

    async def prepare(self) -> None:
        """See that the domain can be protected; set up what is to be held back."""
        await super().prepare()
        await self._devices.setup()

    async def _greet(self, config: bytes) -> None:
        self._devices.add(await devices_of(self.env, self._domain, self._info))
        await super()._greet(config)
        talk = self._talk
        if not isinstance(talk, OwnTalk):  # nothing would be acknowledged
            raise NotSupported("xl's migrate-receive acknowledges nothing")
        self._acks = SpokenAcks(talk)

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
        """See the base class: one that runs on here needs no guard."""
        return self.gives_away

    async def _listen(self, run: Run) -> None:
        """Take what the backup acknowledges, and let it be seen, in order."""
        try:
            while True:
                epoch = await self._acks.heard()
                self.epochs.acknowledge(epoch)
                await self._devices.commit(epoch)
                self.epochs.commit()
                self._clock.committed()
                if epoch == 1:
                    run.enter("protected")
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

    def last_pass(self, run: Run) -> bool:
        """See the base class: by another process; the guest goes to the backup."""
        if self._ending is None:
            run.enter("switch over")
        self.switch_over()
        return self._ending is Ending.SWITCH_OVER

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
        self._clock.closed()
        return SUSPENDED

    async def _let_run(self, run: Run) -> int:
        """Let the guest run: its memory is written; what else it was, is kept.

        The last one, of a guest that goes on at the backup, is left suspended.
        """
        assert run.link is not None
        if self._ending is Ending.SWITCH_OVER:
            self.gives_away = True
            return GO_ON
        await self._devices.preresume(self.epochs.closed)
        if self._device_model is not None:
            await self._device_model.go_on(run.link)
            await self._device_model.leave()
        how = hypercalls.RESUME_CANCELLED
        await run.link.checked_op(Op.RESUME, self.domid, how, uuid=self.uuid)
        self._resumed_at = time.monotonic()
        self._clock.resumed(self._resumed_at - self._suspend.suspended_at)
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
                while not self._may_go_on:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as exc:
            raise TimedOut("peer_silent", seconds) from exc
        if self.gives_away:
            return ENOUGH
        with suppress(TimeoutError):
            left = self._resumed_at + self._info.seconds - time.monotonic()
            async with asyncio.timeout(max(left, 0.0)):
                await self._asked_to_end.wait()
        return ENOUGH if self._ending is Ending.STOP else GO_ON

    @property
    def _may_go_on(self) -> bool:
        return not self.epochs.lag if self.gives_away else self.epochs.may_close

    # ----- the end ----------------------------------------------------------------

    async def examine(self, run: Run, stream: StreamFd) -> None:
        """See the base class: it was stopped, and what counts is asked for then."""

    async def settle(self, run: Run) -> Settled:
        """Have the guest run here or there, then let go what was held back."""
        settled = await super().settle(run)
        return settled.also(*await self._devices.teardown())

    def _outcome(self, run: Run) -> str:
        """See the base class; one that was stopped has reached its aim."""
        is_stopped = run.failure is None and not self.gives_away
        return "stopped" if is_stopped else super()._outcome(run)

    async def _saved(self, run: Run) -> Settled:
        """See the base class; a backup that holds all of it is told that it is all."""
        if run.failure is None and self.gives_away:
            await self._end_listening()
            try:
                await self._talk.say(Word.HAND_OVER)
            except JobError as exc:
                run.fail(exc)
            else:
                return await super()._saved(run)
        try:
            if run.started:
                return await self._repair(run)
            return await ask_guest(self.env, self.domid, self.uuid)
        finally:
            await self._end_listening()

    async def _end_listening(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError, LibxlpyError):
                await self._listening
            self._listening = None

    def result(self, run: Run, report: JobReport) -> RemusResult:
        """Give what was protected until it was stopped, or given away."""
        return RemusResult.of(
            report, run.record.stat, self.epochs.acknowledged, self.gives_away
        )
