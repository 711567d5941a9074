"""Take a domain, in order of execution.

We say that we are there -> header and configuration -> a restore, paused, from the same
connection -> we say that we have it -> GO -> it runs, under its own name -> we say so.
The table is ``libxlpy_protocol.migration.xl.RECEIVER``.

Before GO the domain is the sender's, whatever fails; a whole copy that GO never came
for stays paused: the sender's host may be gone, and the copy the guest. From GO on it
is ours.

Xen: tools/xl/xl_migrate.c, migrate_receive().
"""

from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass

from libxlpy.domain import requests
from libxlpy.domain.config import checked_name, checked_uuid, parse_config
from libxlpy.domain.names import incoming
from libxlpy.domain.repair import ask_guest, failed
from libxlpy.domain.resume import domain_unpause
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.domain.toolstack_xen import XenToolstack
from libxlpy.errors import (
    DomainNotFound,
    JobError,
    MigrationOpen,
    PeerFailed,
    UsageError,
    XenError,
    named,
)
from libxlpy.jobs.operation import Operation, Run
from libxlpy.migration.channel import Channel
from libxlpy.migration.waiting import Interruptible
from libxlpy.operations.restore_simxen import SimxenRestore
from libxlpy.operations.restore_target import Wanted
from libxlpy.operations.restore_xen import XenRestore
from libxlpy.process.environment import Environment
from libxlpy.results import GuestState, JobReport, Kind, RestoreResult, Settled
from libxlpy.streams import (
    Format,
    StreamEvent,
    StreamParser,
    StreamRuleBroken,
    XlHeaderRead,
)
from libxlpy.streams.pull import MAX_KEEP
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.migration.xl import (
    DOES_NOT_RUN,
    GO,
    READY,
    RECEIVED,
    RECEIVER,
    REPORT,
    RUNS,
    Event,
    Receiving,
)

REMOVED = "copy destroyed"
NAMED = "copy given its name"
#: The domain is whole, and the sender may know it.
WHOLE = frozenset(Receiving) - {Receiving.CONFIG, Receiving.BUILD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What the sender has said of the domain, and what is to become of it."""

    name: str
    config: bytes
    paused: bool
    monitor: bool

    def wanted(self) -> Wanted:
        """Give the domain to restore."""
        return Wanted(
            config=self.config,
            name=incoming(self.name),
            paused=True,
            monitor=self.monitor,
            keep_uuid=True,
        )


async def announced(
    env: Environment, channel: Channel, *, paused: bool, monitor: bool
) -> Announced:
    """Say that we are there, and hear which domain comes.

    Args:
        env: Has the deadlines.
        channel: To the sender.
        paused: The domain is to stay paused.
        monitor: A process is to look after it.

    Raises:
        PeerFailed: The sender does not say it.
        TimedOut: It keeps us waiting.
        UsageError: The domain's configuration can't be used.
    """
    deadlines = env.deadlines
    await channel.say(READY, "peer_answer", deadlines.peer_answer)
    parser = StreamParser(Format.XL_HEADER)
    events: list[StreamEvent] = []
    what = "the header of a saved domain"
    try:
        while not parser.finished:
            size, seconds = min(parser.wanted, MAX_KEEP), deadlines.peer_answer
            events += parser.feed(
                await channel.read(size, what, "peer_answer", seconds)
            )
    except StreamRuleBroken as exc:
        raise PeerFailed(f"did not send {what}", str(exc)) from exc
    (header,) = events
    assert isinstance(header, XlHeaderRead)
    config = header.config or b""
    created = parse_config(config)["c_info"]
    name = checked_name(created.get("name"))
    await _check_free(env, name, checked_uuid(created.get("uuid")))
    return Announced(name=name, config=config, paused=paused, monitor=monitor)


async def _check_free(env: Environment, name: str, uuid: str | None) -> None:
    """Refuse a domain whose name another one has; it may be here itself."""
    toolstack_of(env).check_name(incoming(name))
    for info in await requests.list_domains(env):
        if info.name == name and info.uuid != uuid:
            text = f"name {named(name)} is taken by domain {info.domid}"
            raise UsageError(f"{text}: rename that, or the one that is to come")


def receive(
    env: Environment, channel: Channel, domain: Announced
) -> Operation[RestoreResult]:
    """Give the operation that takes a domain."""
    toolstack, wanted = toolstack_of(env), domain.wanted()
    operation: _Receive = (
        XenReceive(env, toolstack, wanted)
        if isinstance(toolstack, XenToolstack)
        else SimxenReceive(env, toolstack, wanted)
    )
    operation.connect(channel, domain)
    return operation


class _Receive(Operation[RestoreResult]):
    """What comes behind the restore, on each backend."""

    kind: Kind = "receive"

    def connect(self, channel: Channel, domain: Announced) -> None:
        """Take the sender, and what it has said; before all else."""
        self._channel = channel
        self._domain = domain
        self._state = Receiving.BUILD
        self._waits = Interruptible()

    @property
    def what(self) -> str:
        """See the base class."""
        return f"migration of domain {self._domain.name} to here"

    # ----- the end ----------------------------------------------------------------

    @abstractmethod
    async def restored(self, run: Run) -> Settled:
        """Settle the restore: the domain is whole and paused, or gone."""

    async def settle(self, run: Run) -> Settled:
        """Settle with the sender who has the guest."""
        facts: list[str] = []
        if self._state not in WHOLE:
            settled = await self.restored(run)
            if run.failure is not None:
                return settled
            await self._hand_over(run, facts)
        if self._state in RECEIVER:  # a defect came between
            self._state = Receiving.DOUBT
        self.is_left = self._state in (Receiving.OPEN, Receiving.DOUBT)
        settled = await ask_guest(self.env, self.domid, self.uuid)
        return Settled(settled.guest, (*facts, *settled.repairs))

    async def _hand_over(self, run: Run, facts: list[str]) -> None:
        """Go through the table from where the copy is whole."""
        self._state = RECEIVER[Receiving.BUILD][Event.DONE]
        while self._state in RECEIVER:
            event = Event.DONE
            try:
                await self._step(run, facts)
            except MigrationOpen as exc:
                run.fail(exc)
                event = Event.UNSURE
            except JobError as exc:
                self._fail(run, exc)
                event = Event.FAILED
            except LibxlpyError as exc:
                self._fail(run, XenError(-1, 0, str(exc), "toolstack"))
                event = Event.FAILED
            self._state = RECEIVER[self._state][event]

    async def _step(self, run: Run, facts: list[str]) -> None:
        """Do what the state says; an error is FAILED."""
        seconds = self.deadlines.peer_answer
        match self._state:
            case Receiving.RECEIVED:
                run.commit("received")
                await self._channel.say(RECEIVED, "peer_answer", seconds)
            case Receiving.GO:
                run.enter("go")
                await self._waits.wait(self._channel.hear(GO, "peer_answer", seconds))
            case Receiving.START:
                run.enter("unpause")
                await self._start(facts)
            case Receiving.REPORT:
                report = REPORT + bytes([RUNS])
                await self._channel.say(report, "peer_answer", seconds)
            case Receiving.REFUSAL:
                report = REPORT + bytes([DOES_NOT_RUN])
                await self._channel.say(report, "peer_answer", seconds)
            case Receiving.DECLINE:
                both = REPORT + bytes([DOES_NOT_RUN]) + GO
                await self._channel.say(both, "peer_answer", seconds)
            case Receiving.REMOVE | Receiving.WITHDRAW:
                with suppress(DomainNotFound):  # somebody was quicker
                    await requests.destroy(self.env, self.domid, self.uuid)
                facts.append(REMOVED)
            case _:
                await self._channel.say(GO, "peer_answer", seconds)

    async def _start(self, facts: list[str]) -> None:
        """Let the copy run; what it is called comes after that."""
        if not self._domain.paused:
            try:
                await domain_unpause(self.env, self.domid, self.uuid)
            except LibxlpyError as exc:
                await self._check_runs(exc)
        try:
            await requests.rename(
                self.env,
                self.domid,
                self._domain.name,
                uuid=self.uuid,
                old=incoming(self._domain.name),
            )
        except LibxlpyError as exc:
            facts.append(failed(NAMED, exc))

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
        if RECEIVER[self._state][Event.FAILED] in (Receiving.DECLINE, Receiving.OPEN):
            text = f"whether {self._domain.name!r} is ours the sender has not said"
            error = MigrationOpen(f"{text}: {error.args[0]}")
        run.fail(error)

    def result(self, run: Run, report: JobReport) -> RestoreResult:
        """Give the domain under its own name."""
        record, name = run.record, self._domain.name
        return RestoreResult.of(report, record.stat, record.restore_results, name)


class XenReceive(_Receive, XenRestore):
    """On real Xen."""

    async def choose(self) -> None:
        """See the base class."""
        await super().choose()
        self.uuid = self._target.uuid

    async def restored(self, run: Run) -> Settled:
        """See the base class."""
        return await XenRestore.settle(self, run)


class SimxenReceive(_Receive, SimxenRestore):
    """On an embedded host."""

    async def restored(self, run: Run) -> Settled:
        """See the base class."""
        return await SimxenRestore.settle(self, run)
