"""Take a domain, in order of execution.

It was announced -> in our handshake we accept it, and have its stream handed in -> a
restore, paused -> it is taken, see ``taking``.

Xen: tools/xl/xl_migrate.c, migrate_receive().
"""

import logging
from abc import abstractmethod
from contextlib import suppress

from libxlpy.domain.toolstack import toolstack_of
from libxlpy.domain.toolstack_xen import XenToolstack
from libxlpy.errors import JobError, MigrationRefused, PeerFailed, XenError
from libxlpy.jobs.operation import Operation, Run
from libxlpy.migration.announced import Announced
from libxlpy.migration.hooks import Hooks, MigrationHooks
from libxlpy.migration.taking import Taking
from libxlpy.migration.tcp import Carries, find_dead_peer
from libxlpy.operations.restore_simxen import SimxenRestore
from libxlpy.operations.restore_xen import XenRestore
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.results.of_jobs import RestoreResult
from libxlpy.results.report import JobReport, Kind, Settled
from libxlpy_protocol.messages import Log
from libxlpy_protocol.migration.handshake import Receiving, Word
from libxlpy_protocol.migration.own import Refusal
from libxlpy_protocol.xen import XTL_INFO

logger = logging.getLogger("libxlpy")

#: There is none, and nobody waits for it any more.
NO_COPY = frozenset({Receiving.BUILD, Receiving.NOTHING})


def receive(
    env: Environment, domain: Announced, hooks: MigrationHooks | None = None
) -> Operation[RestoreResult]:
    """Give the operation that takes a domain."""
    toolstack, wanted = toolstack_of(env), domain.wanted()
    operation: Receive = (
        XenReceive(env, toolstack, wanted)
        if isinstance(toolstack, XenToolstack)
        else SimxenReceive(env, toolstack, wanted)
    )
    operation.take(domain, Hooks(env, hooks, "receive"))
    return operation


class Receive(Operation[RestoreResult]):
    """What comes behind the restore, on each backend."""

    kind: Kind = "receive"

    def take(self, domain: Announced, hooks: Hooks) -> None:
        """Take the sender, and what it has said; before all else."""
        self._domain = domain
        self._hooks = hooks
        self._talk = domain.talk
        self._taking = Taking(self.env, domain)

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
        settled = await self.settle_guest(run)
        if self._taking.state in NO_COPY:
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

    async def settle_guest(self, run: Run) -> Settled:
        """Settle where the domain is."""
        if not self._taking.is_whole:
            settled = await self.restored(run)
            if run.failure is not None:
                return settled
            await self._taking.go_through(run, self.domid, self.uuid)
        settled = await self._taking.left()
        self.is_left = self._taking.is_left
        return settled

    def interrupt(self, reason: str) -> bool:
        """See the base class: the copy then stays as it is."""
        return self._taking.interrupt(reason)

    def result(self, run: Run, report: JobReport) -> RestoreResult:
        """Give the domain under its own name."""
        record, name = run.record, self._domain.name
        return RestoreResult.of(report, record.stat, record.restore_results, name)


class XenReceive(Receive, XenRestore):
    """On real Xen."""

    async def prepare(self) -> None:
        """Have room before the sender begins: its guest may be down from then on."""
        if self._domain.offer is not None:
            room = self.make_room("peer_answer")
            try:
                await self._domain.offer.meanwhile(room)
            except XenError as exc:
                raise MigrationRefused(Refusal.MEMORY, str(exc)) from exc
        await super().prepare()

    async def discard(self) -> None:
        """See the base class."""
        for text in await self.dom0.give_back():
            logger.warning("%s: %s", self.what, text)
        await super().discard()

    async def restored(self, run: Run) -> Settled:
        """See the base class."""
        return await self.settle_domain(run)

    async def settle_guest(self, run: Run) -> Settled:
        """See the base class: what dom0 gave is kept as long as the domain is."""
        return await self.settle_dom0(run, await super().settle_guest(run))


class SimxenReceive(Receive, SimxenRestore):
    """On an embedded host."""

    async def restored(self, run: Run) -> Settled:
        """See the base class."""
        return await SimxenRestore.settle(self, run)
