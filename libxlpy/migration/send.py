"""Give a domain away, in order of execution.

The receiver says that it is there -> header and configuration -> a live save into the
same connection -> the receiver has a whole copy, paused -> ours gets another name ->
GO -> the receiver says that its copy runs -> ours is destroyed. The table is
``libxlpy_protocol.migration.xl.SENDER``.

Until GO the guest is ours: whatever fails, it runs on here; should we die, the save's
helper, which stays as its guard, lets it. From GO on only the receiver knows. That we
come so far is written down before a byte of GO is sent.

Xen: tools/xl/xl_migrate.c, migrate_domain().
"""

import time

from libxlpy.callbacks import PrecopyPolicy
from libxlpy.domain import requests
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.names import away
from libxlpy.domain.repair import ask_guest, failed, is_failed
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.errors import (
    GuestFailed,
    JobError,
    MigrationOpen,
    PeerFailed,
    XenError,
)
from libxlpy.jobs.operation import Run
from libxlpy.jobs.stall import NO_STALL_POLICY, StallPolicy
from libxlpy.migration.channel import Channel
from libxlpy.migration.waiting import Interruptible
from libxlpy.operations.flags import SuspendFlags
from libxlpy.operations.save import RAN_ON, GuestSave
from libxlpy.process.environment import Environment
from libxlpy.results import GuestState, JobReport, Kind, MigrateResult, Settled
from libxlpy.streams.xl import pack_header
from libxlpy_protocol.enums import OnParentLoss
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.migration.xl import (
    GO,
    READY,
    RECEIVED,
    REPORT,
    RUNS,
    SENDER,
    Event,
    Sending,
)

#: The copy at the other end may run.
GIVEN = frozenset({Sending.GO, Sending.REPORT, Sending.MOVED, Sending.OPEN})
#: A cancel is heard.
OURS = frozenset({Sending.COPY, Sending.RECEIVED, Sending.NAME})
DESTROYED = "domain destroyed here"
NAMED_BACK = "name given back"
STARTED_NOT = "could not start its copy"


class Send(GuestSave[MigrateResult]):
    """One migration, seen from the host that the domain leaves."""

    kind: Kind = "migrate"

    def __init__(
        self,
        env: Environment,
        domid: int,
        channel: Channel,
        flags: SuspendFlags,
        *,
        config: bytes | None = None,
        stall: StallPolicy = NO_STALL_POLICY,
        precopy_policy: PrecopyPolicy | None = None,
    ) -> None:
        """Migrate a domain.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            domid: Of the domain.
            channel: To the receiver; the stream goes there, too.
            flags: LIVE, DEBUG.
            config: In libxl's JSON; None for what its toolstack keeps of it.
            stall: See the base class.
            precopy_policy: See the base class.

        Raises:
            UsageError: ``flags`` has a bit that means nothing.
        """
        super().__init__(
            env,
            domid,
            flags,
            on_parent_loss=OnParentLoss.RESUME_UNLESS_RELEASED,
            stall=stall,
            precopy_policy=precopy_policy,
        )
        self._channel = channel
        self._config = config
        self._name = ""
        self._state = Sending.READY
        self._waits = Interruptible()

    @property
    def what(self) -> str:
        """See the base class."""
        return f"migration of domain {self.domid}"

    # ----- before the job ---------------------------------------------------------

    async def prepare(self) -> None:
        """See that the domain can be saved, and that the receiver is there."""
        await super().prepare()
        toolstack_of(self.env).check_name(away(self._name))
        config = self._config
        if config is None:
            config = await requests.retrieve_config(self.env, self.domid)
        seconds = self.deadlines.peer_ready
        await self._channel.hear(READY, "peer_ready", seconds)
        header = pack_header(config, json=True)
        await self._channel.say(header, "peer_answer", self.deadlines.peer_answer)
        self._state = SENDER[self._state][Event.DONE]

    def take(self, info: DomainInfo) -> None:
        """See the base class."""
        super().take(info)
        self._name = info.name

    # ----- the end ----------------------------------------------------------------

    async def settle(self, run: Run) -> Settled:
        """Settle with the receiver who has the guest; repair if it is ours."""
        settled = await self._settle(run)
        if run.guard is not None:
            await run.guard.release()
            run.record.exit_status = run.guard.end
            run.record.rusage = run.guard.rusage
        return settled

    async def _settle(self, run: Run) -> Settled:
        if self._state in GIVEN:
            return await self._left()  # a defect came between, or it is asked again
        settled = await super().settle(run)
        if run.failure is None:
            await self._hand_over(run)
            if self._state in GIVEN:
                return await self._left()
            settled = await self._repair(run)
        return settled.also(*await self._name_back())

    async def _hand_over(self, run: Run) -> None:
        """Go through the table from where the copy is sent."""
        self._state = SENDER[Sending.COPY][Event.DONE]
        while self._state in SENDER:
            event = Event.DONE
            try:
                event = await self._step(run)
            except JobError as exc:
                self._fail(run, exc)
                event = Event.FAILED
            except LibxlpyError as exc:
                self._fail(run, XenError(-1, 0, str(exc), "xenstored"))
                event = Event.FAILED
            self._state = SENDER[self._state][event]

    async def _step(self, run: Run) -> Event:
        """Do what the state says; an error is FAILED."""
        deadlines = self.deadlines
        match self._state:
            case Sending.RECEIVED:
                run.enter("received")
                seconds = deadlines.peer_built
                hear = self._channel.hear(RECEIVED, "peer_built", seconds)
                await self._waits.wait(hear)
            case Sending.NAME:
                run.enter("name")
                await self._waits.wait(self._rename(self._name, away(self._name)))
            case Sending.GO:
                await self._check_suspended()
                run.commit("go")
                if run.guard is not None:
                    run.guard.let_go()
                await self._channel.say(GO, "peer_answer", deadlines.peer_answer)
            case Sending.REPORT:
                return await self._report(run)
            case _:
                seconds = deadlines.peer_answer
                await self._channel.hear(GO, "peer_answer", seconds)
        return Event.DONE

    async def _check_suspended(self) -> None:
        """See that nobody has let the guest run while the receiver was waited for."""
        settled = await ask_guest(self.env, self.domid, self.uuid)
        if settled.guest is not GuestState.SUSPENDED:
            raise GuestFailed(settled.guest.value, RAN_ON)

    async def _report(self, run: Run) -> Event:
        run.enter("report")
        seconds = self.deadlines.peer_answer
        await self._channel.hear(REPORT, "peer_answer", seconds)
        what = "the status of its copy"
        (status,) = await self._channel.read(1, what, "peer_answer", seconds)
        if status != RUNS:
            run.fail(PeerFailed(STARTED_NOT, f"status {status}"))
            return Event.REFUSED
        run.record.meter.resumed(time.monotonic())
        run.enter("moved")
        return Event.DONE

    def _fail(self, run: Run, error: JobError) -> None:
        """Take what ends it: in doubt about the guest, the doubt."""
        if self._state is Sending.REPORT:
            text = f"nobody here knows whether {self._name!r} runs at the other end"
            error = MigrationOpen(f"{text}: {error.args[0]}")
        run.fail(error)

    def interrupt(self, reason: str) -> bool:
        """See the base class: until GO is said the guest can stay."""
        if self._state not in OURS:
            return False
        self._waits.cancel(reason)
        return True

    # ----- what is left here ------------------------------------------------------

    async def _left(self) -> Settled:
        """Destroy ours, if the receiver's runs."""
        facts: list[str] = []
        if self._state in SENDER:  # a defect came between
            self._state = Sending.OPEN
        if self._state is Sending.MOVED:
            try:
                await requests.destroy(self.env, self.domid, self.uuid)
                facts.append(DESTROYED)
            except LibxlpyError as exc:
                facts.append(failed(DESTROYED, exc))
        settled = await ask_guest(self.env, self.domid, self.uuid)
        self.is_left = self._state is Sending.OPEN or any(map(is_failed, facts))
        return Settled(settled.guest, (*facts, *settled.repairs))

    async def _name_back(self) -> list[str]:
        """Give the guest its name again, if it has lost it."""
        if self._state is not Sending.STAYS:
            return []
        try:
            if (await requests.look(self.env, self.domid)).name != away(self._name):
                return []
            await self._rename(away(self._name), self._name)
        except LibxlpyError as exc:
            return [failed(NAMED_BACK, exc)]
        return [NAMED_BACK]

    async def _rename(self, old: str, new: str) -> None:
        env, domid = self.env, self.domid
        await requests.rename(env, domid, new, uuid=self.uuid, old=old)

    async def abandon(self, run: Run) -> Settled | None:
        """Leave it: it runs at the other end."""
        return None

    def result(self, run: Run, report: JobReport) -> MigrateResult:
        """Give what a migration that succeeded has done."""
        return MigrateResult.of(report, run.record.stat, self._name)
