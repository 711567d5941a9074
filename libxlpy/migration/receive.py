"""Take a domain, in order of execution.

It was announced -> in our handshake we accept it, and have its stream handed in -> a
restore, paused -> we say that we have it -> GO -> it runs, under its own name -> we say
so. The table is ``libxlpy_protocol.migration.handshake.RECEIVER``.

Before GO the domain is the sender's, whatever fails; a whole copy that GO never came
for stays paused: the sender's host may be gone, and the copy the guest. Only a sender
that says so goes on with its own. From GO on it is ours.

Xen: tools/xl/xl_migrate.c, migrate_receive().
"""

import logging
from abc import abstractmethod
from contextlib import suppress

from libxlpy.domain import requests
from libxlpy.domain.names import incoming
from libxlpy.domain.repair import TRIES, ask_guest, failed, is_failed
from libxlpy.domain.resume import domain_unpause
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.domain.toolstack_xen import XenToolstack
from libxlpy.errors import (
    DomainNotFound,
    JobError,
    MigrationOpen,
    PeerFailed,
)
from libxlpy.jobs.operation import Operation, Run
from libxlpy.migration.announce import Announcement
from libxlpy.migration.announced import Announced
from libxlpy.migration.hooks import Hooks, MigrationHooks
from libxlpy.migration.tcp import Carries, find_dead_peer
from libxlpy.migration.waiting import Interruptible
from libxlpy.operations.restore_simxen import SimxenRestore
from libxlpy.operations.restore_xen import XenRestore
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.results.of_jobs import RestoreResult
from libxlpy.results.report import GuestState, JobReport, Kind, Settled
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import Log
from libxlpy_protocol.migration.handshake import RECEIVER, Event, Receiving, Word
from libxlpy_protocol.xen import XTL_INFO

logger = logging.getLogger("libxlpy")

REMOVED = "copy destroyed"
NAMED = "copy given its name"
#: The domain is whole, and the sender may know it.
WHOLE = frozenset(Receiving) - {Receiving.CONFIG, Receiving.BUILD}
#: There is none, and nobody waits for it any more.
NO_COPY = frozenset({Receiving.BUILD, Receiving.NOTHING})


def receive(
    env: Environment, domain: Announced, hooks: MigrationHooks | None = None
) -> Operation[RestoreResult]:
    """Give the operation that takes a domain."""
    toolstack, wanted = toolstack_of(env), domain.wanted()
    operation: _Receive = (
        XenReceive(env, toolstack, wanted)
        if isinstance(toolstack, XenToolstack)
        else SimxenReceive(env, toolstack, wanted)
    )
    operation.take(domain, Hooks(env, hooks, "receive"))
    return operation


class _Receive(Operation[RestoreResult]):
    """What comes behind the restore, on each backend."""

    kind: Kind = "receive"

    def take(self, domain: Announced, hooks: Hooks) -> None:
        """Take the sender, and what it has said; before all else."""
        self._domain = domain
        self._hooks = hooks
        self._talk = domain.talk
        self._state = Receiving.BUILD
        self._waits = Interruptible()
        #: Why it is not known whether the sender has given the domain away.
        self._doubt: JobError | None = None
        self._announcement = Announcement()

    @property
    def what(self) -> str:
        """See the base class."""
        return f"migration of domain {self._domain.name} to here"

    # ----- before the job ---------------------------------------------------------

    async def choose(self) -> None:
        """See the base class; hooks may refuse before anything is made."""
        domain = self._domain
        await self._hooks.before(domid=None, uuid=domain.uuid, name=domain.name)
        await super().choose()

    async def discard(self) -> None:
        """See the base class."""
        await super().discard()
        for failure in await self._after("failed", ""):
            logger.warning("%s: %s", self.what, failure)

    async def prepare(self) -> None:
        """Accept what is offered, and have its stream."""
        await super().prepare()
        if self._domain.offer is not None:
            self.stream_fd = await self._domain.offer.accept(self.deadlines.peer_ready)
            find_dead_peer(self.stream_fd, self.deadlines, Carries.NOTHING)

    def began(self, run: Run) -> None:
        """Go on only while the sender is there; both call the migration the same."""
        if self._domain.offer is not None:
            text = f"at the other end it is migration {self._domain.offer.migration}"
            run.record.news(Log(XTL_INFO, -1, "libxlpy", f"{text}, too"))
        self._talk.watch(lambda error: run.fail(error, Step.ABORT))

    # ----- the end ----------------------------------------------------------------

    @abstractmethod
    async def restored(self, run: Run) -> Settled:
        """Settle the restore: the domain is whole and paused, or gone."""

    async def settle(self, run: Run) -> Settled:
        """Settle with the sender who has the guest."""
        self._talk.watch(None)
        settled = await self._settle(run)
        if self._state in NO_COPY:
            await self._give_up(run.failure)
        await self._talk.close()
        outcome = "failed" if run.failure is not None else "moved"
        outcome = "open" if self.is_left else outcome
        run.record.remarks += await self._after(outcome, settled.guest.value)
        return settled

    async def _give_up(self, failure: JobError | None) -> None:
        """Tell the sender, if it is there; what it has said itself is no news to it."""
        with suppress(JobError):
            await self._talk.say(Word.GIVEN_UP, str(failure or ""))
            if failure is not None and self._domain.offer is not None:
                failure.was_told = not isinstance(failure, PeerFailed)

    async def _after(self, outcome: str, guest: str) -> list[str]:
        """Have the hooks run that follow; give what fails."""
        return await self._hooks.after(
            domid=self.domid if self.domid >= 0 else None,
            uuid=self._domain.uuid,
            name=self._domain.name,
            outcome=outcome,
            guest=guest,
        )

    async def _settle(self, run: Run) -> Settled:
        facts: list[str] = []
        if self._state not in WHOLE:
            settled = await self.restored(run)
            if run.failure is not None:
                return settled
            try:
                await self._hand_over(run, facts)
                run.record.remarks += await self._announcement.end()
            finally:
                await self._announcement.stop()
        if self._state in RECEIVER:  # a defect came between
            self._state = Receiving.DOUBT
        kept = self._state in (Receiving.OPEN, Receiving.DOUBT)
        self.is_left = kept or any(map(is_failed, facts))
        settled = await ask_guest(self.env, self.domid, self.uuid)
        return Settled(settled.guest, (*facts, *settled.repairs))

    async def _hand_over(self, run: Run, facts: list[str]) -> None:
        """Go through the table from where the copy is whole."""
        self._state = RECEIVER[Receiving.BUILD][Event.DONE]
        while self._state in RECEIVER:
            event = Event.DONE
            try:
                event = await self._step(run, facts)
            except MigrationOpen as exc:
                run.fail(exc)
                event = Event.UNSURE
            except JobError as exc:
                self._fail(run, exc)
                event = Event.FAILED
            except LibxlpyError as exc:
                self._fail(run, JobError(str(exc)))
                event = Event.FAILED
            self._state = RECEIVER[self._state][event]

    async def _step(self, run: Run, facts: list[str]) -> Event:
        """Do what the state says; an error is FAILED."""
        match self._state:
            case Receiving.RECEIVED:
                run.commit("received")
                await self._waits.wait(self._talk.say(Word.RECEIVED))
            case Receiving.GO:
                return await self._hear_go(run)
            case Receiving.START:
                run.enter("unpause")
                await self._start(facts)
            case Receiving.REPORT:
                await self._talk.say(Word.RUNS)
            case Receiving.REFUSAL:
                await self._talk.say(Word.DOES_NOT_RUN, str(run.failure or ""))
            case Receiving.DECLINE:
                return await self._decline(run)
            case Receiving.REMOVE | Receiving.WITHDRAW:
                with suppress(DomainNotFound):  # somebody was quicker
                    await requests.destroy(self.env, self.domid, self.uuid)
                facts.append(REMOVED)
            case _:
                await self._talk.say(Word.PERMISSION)
        return Event.DONE

    async def _hear_go(self, run: Run) -> Event:
        run.enter("go")
        go = self._talk.hear(Word.GO, Word.GIVEN_UP, deadline="peer_answer")
        if await self._waits.wait(go) is Word.GIVEN_UP:
            run.fail(PeerFailed("has given up", self._talk.why))
            return Event.REFUSED
        return Event.DONE

    async def _decline(self, run: Run) -> Event:
        """Keep the copy, unless the sender can say that it goes on with its own."""
        assert self._doubt is not None
        try:
            await self._talk.say(Word.DOES_NOT_RUN, str(self._doubt))
            await self._talk.say(Word.PERMISSION)
            if self._domain.offer is not None:
                words, deadline = (Word.GIVEN_UP, Word.GO), "peer_answer"
                if await self._talk.hear(*words, deadline=deadline) is Word.GO:
                    # It was on its way.
                    await self._talk.hear(Word.GIVEN_UP, deadline=deadline)
                run.fail(self._doubt)
                return Event.REFUSED
        except JobError as exc:
            run.record.later.append(str(exc))
        run.fail(self._open(self._doubt))
        return Event.DONE

    def _open(self, error: JobError) -> MigrationOpen:
        text = f"whether {self._domain.name!r} is ours the sender has not said"
        return MigrationOpen(f"{text}: {error.args[0]}")

    async def _start(self, facts: list[str]) -> None:
        """Let the copy run; what it is called comes after that."""
        runs = not (self._domain.paused or self._talk.stays_paused)
        if runs:
            try:
                await domain_unpause(self.env, self.domid, self.uuid)
            except LibxlpyError as exc:
                await self._check_runs(exc)
        self._announcement.begin(self.env, self.domid, runs=runs)
        name, told = self._domain.name, ""
        for _ in range(TRIES):  # its helper may have died
            try:
                await requests.rename(
                    self.env, self.domid, name, uuid=self.uuid, old=incoming(name)
                )
            except LibxlpyError as exc:
                told = failed(NAMED, exc)
            else:
                return
        facts.append(told)

    async def _check_runs(self, error: LibxlpyError) -> None:
        """Find out whether a copy runs that could not be let run.

        Raises:
            MigrationOpen: Nobody can tell.
            LibxlpyError: It does not: what was in the way.
        """
        settled = await ask_guest(self.env, self.domid, self.uuid)
        match settled.guest:
            case GuestState.PAUSED | GuestState.GONE:
                raise error
            case GuestState.UNKNOWN:
                text = f"whether {self._domain.name!r} runs could not be found out"
                raise MigrationOpen(f"{text}: {error}") from error
            case _:
                pass  # it does, or did and has ended by itself

    def interrupt(self, reason: str) -> bool:
        """See the base class: the copy then stays as it is."""
        if self._state not in (Receiving.BUILD, Receiving.RECEIVED, Receiving.GO):
            return False
        self._waits.cancel(reason)
        return True

    def _fail(self, run: Run, error: JobError) -> None:
        """Take what ends it: in doubt about the guest, the doubt."""
        if self._state is Receiving.REPORT:
            return  # it runs here: what the sender makes of that is for the sender
        match RECEIVER[self._state][Event.FAILED]:
            case Receiving.DECLINE:
                self._doubt = error
                return
            case Receiving.OPEN:
                error = self._open(error)
        run.fail(error)

    def result(self, run: Run, report: JobReport) -> RestoreResult:
        """Give the domain under its own name."""
        record, name = run.record, self._domain.name
        return RestoreResult.of(report, record.stat, record.restore_results, name)


class XenReceive(_Receive, XenRestore):
    """On real Xen."""

    async def restored(self, run: Run) -> Settled:
        """See the base class."""
        return await XenRestore.settle(self, run)


class SimxenReceive(_Receive, SimxenRestore):
    """On an embedded host."""

    async def restored(self, run: Run) -> Settled:
        """See the base class."""
        return await SimxenRestore.settle(self, run)
