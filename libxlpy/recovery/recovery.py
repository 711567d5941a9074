"""Finish or roll back one job whose process died, in order of execution.

Its helper is gone, or made to go -> is there still the guest that the job was about ->
what holds its file -> decide -> do it -> ask where the guest is -> forget the job.
Whoever calls this holds the domain's lock, so that it is done once.

Facts decide: the guest is known by its uuid, never by its domid, the file by its
inode, processes by their start. What can't be proven ours is told and left alone.
"""

import signal
from functools import partial
from typing import TYPE_CHECKING

from libxlpy.domain import hypercalls
from libxlpy.domain.device_model import DeviceModel
from libxlpy.domain.info import DomainFacts
from libxlpy.domain.repair import Repair, ask_guest, failed, is_failed
from libxlpy.domain.suspend import GuestSuspend
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.errors import BackendError, ParentLost
from libxlpy.folders import NotOursAlone
from libxlpy.journal import Entry, Lock
from libxlpy.journal.identity import Identity, wait_gone
from libxlpy.later import Later
from libxlpy.process.environment import Environment
from libxlpy.recovery.decision import SETTLED, Decision, Outcome, Step
from libxlpy.recovery.left_file import LeftFile
from libxlpy.recovery.moving import Moving
from libxlpy.results.report import GuestState, ImageState, JobReport, Kind
from libxlpy_protocol.enums import Op
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.value import Value

if TYPE_CHECKING:
    from libxlpy.domain import plug
    from libxlpy.domain.toolstack_simxen import SimxenToolstack
else:  # for a protection
    plug = Later("libxlpy.domain.plug")

#: Seconds for a helper to put the guest right by itself; it takes 2 at most.
ALONE = 10.0


class Recovered(Value):
    """One job of a dead process, and what became of it."""

    #: Name as `xlpy jobs` gives it; "" if unreadable.
    job: str
    #: E.g. ``"save of domain 7"``.
    what: str
    domid: int
    outcome: Outcome
    #: Why, and what is left to do, in one line.
    text: str
    #: The job's own outcome; None if unreadable.
    error: ParentLost | None = None
    #: A helper of it may still be at work.
    helper_lives: bool = False
    kind: Kind | None = None
    #: Of a migration: shell's words that run a command on the other host; "" if not
    #: known.
    reached_by: str = ""

    @property
    def stands(self) -> bool:
        """Tell whether nothing is to be done to the domain before it is recovered.

        A guest that runs, or is gone, can be gone on with, whatever else is left.
        """
        where = (GuestState.SUSPENDED, GuestState.UNKNOWN)
        if self.outcome is Outcome.OPEN:
            return True
        return not self.settled and (self.helper_lives or self.guest in where)

    @property
    def settled(self) -> bool:
        """Tell whether nothing is left to do."""
        return self.outcome in SETTLED

    @property
    def guest(self) -> GuestState:
        """Where the guest is, as the hypervisor said."""
        return GuestState.UNKNOWN if self.error is None else self.error.guest

    @property
    def image(self) -> ImageState:
        """What the stream holds."""
        return ImageState.NONE if self.error is None else self.error.image

    @property
    def repairs(self) -> tuple[str, ...]:
        """What was done; with dry_run what would be done."""
        return () if self.error is None else self.error.repairs

    def __str__(self) -> str:
        """Give it in one line."""
        if self.error is None:
            return f"domain {self.domid}: {self.outcome.value}: {self.text}"
        facts = f"; {', '.join(self.repairs)}" if self.repairs else ""
        return (
            f"{self.job}: {self.what} {self.outcome.value}: {self.text} "
            f"(guest {self.guest.value}){facts}"
        )


class Recovery:
    """One job of a dead process."""

    def __init__(
        self, env: Environment, lock: Lock, entry: Entry, *, dry_run: bool = False
    ) -> None:
        """Take the job on.

        Args:
            env: Backend, deadlines, the helper for hypercalls.
            lock: Of its domain, held.
            entry: The job.
            dry_run: Only say what would be done.
        """
        self._env = env
        self._lock = lock
        self._entry = entry
        self._dry_run = dry_run
        self._file = LeftFile(entry.stream, env.deadlines)
        self._facts: list[str] = []
        self._helper_lives = False
        #: The job's own guest does not exist any more.
        self._is_gone = False

    async def run(self) -> Recovered:
        """Do it all; what fails is in the outcome."""
        try:
            decision = await self._helpers_gone()
            if decision is None:
                await self._look_at_file()
                decision = await self._decide(await self._ask())
                decision = decision.also(*await self._let_go())
                if not self._dry_run:
                    decision = await self._carry_out(decision)
        except (LibxlpyError, OSError) as exc:
            decision = Decision(Outcome.FAILED, str(exc))
        return await self._report(decision)

    async def _look_at_file(self) -> None:
        """Find the file; a disk that fails does not keep the guest from its repair."""
        try:
            await self._file.look(0 if self._dry_run else ALONE)
        except BackendError:
            if not self._dry_run:  # else it is held by the helper, which is to go
                raise
        except NotOursAlone as exc:
            self._facts.append(failed("save file looked at", exc))
        except OSError:
            why = f"{self._entry.stream.path}: its disk does not answer"
            self._facts.append(failed("save file looked at", why))

    # ----- its helpers ------------------------------------------------------------

    async def _helpers_gone(self) -> Decision | None:
        """Wait for its helpers' own repair, then end them; None once they are gone."""
        for helper in self._entry.helpers:
            if not helper.alive():
                continue
            self._helper_lives = True
            if not helper.seen:
                text = (
                    f"its helper, process {helper.pid} of another PID namespace, is "
                    "not seen from here: run recover where it runs"
                )
                return Decision(Outcome.FAILED, text)
            if self._finish:
                text = f"its helper, process {helper.pid}, goes on writing"
                return Decision(Outcome.RUNNING, text)
            if self._dry_run:
                self._facts.append(f"helper {helper.pid} waited for, then ended")
            elif not await self._gone(helper):
                text = f"its helper, process {helper.pid}, can't be killed"
                return Decision(Outcome.FAILED, text)
            self._helper_lives = False
        return None

    async def _gone(self, helper: Identity) -> bool:
        deadlines = self._env.deadlines
        if await wait_gone(helper, ALONE):
            return True
        for number, seconds in (
            (signal.SIGTERM, deadlines.term_grace),
            (signal.SIGKILL, deadlines.kill_grace),
        ):
            self._facts.append(f"helper {helper.pid} sent {number.name}")
            helper.signal(number)
            if await wait_gone(helper, seconds):
                return True
        return False

    # ----- what to do -------------------------------------------------------------

    @property
    def _finish(self) -> bool:
        return self._entry.on_parent_loss == "finish"

    async def _ask(self) -> DomainFacts | None:
        async with self._env.hypercalls() as ops:
            return await hypercalls.find(ops, self._entry.domid)

    async def _decide(self, facts: DomainFacts | None) -> Decision:
        entry = self._entry
        if facts is None or facts.dying:
            return await self._guest_gone("its guest is gone", self._state())
        if not entry.uuid:
            return Decision(Outcome.LEFT, "nobody knows which guest it was about")
        if facts.uuid != entry.uuid:
            text = f"domid {entry.domid} is another domain now, which is not touched"
            return await self._guest_gone(text, [])
        match entry.kind:
            case "save":
                return await self._save(facts)
            case "migrate" | "receive" | "remus" | "backup":
                return self._moving(facts)
            case "xc_domain_save":
                text = "suspended or not, the guest is its toolstack's"
                steps = [Step("log-dirty mode off", self._log_dirty_off)]
                return Decision(Outcome.ROLLED_BACK, text, steps)
        toolstack = toolstack_of(self._env)
        if entry.kind == "restore" and toolstack.kind == "simxen":
            return await self._restore(toolstack)
        text = "what is in the domain is for its toolstack to say"
        return Decision(Outcome.LEFT, text)

    async def _guest_gone(self, text: str, steps: list[Step]) -> Decision:
        """A whole file may be all that is left of the guest; half a one is nothing."""
        self._is_gone = True
        if self._entry.kind != "save":
            return Decision(Outcome.GUEST_GONE, text)
        if self._entry.complete and not self._file.regular:
            text = f"{text}; its stream was whole"
            return Decision(Outcome.FINISHED, text, steps, ImageState.COMPLETE)
        if await self._file.whole():
            steps = [*self._committed(), *steps]
            text = f"{text}; {self._name()} is whole"
            return Decision(Outcome.FINISHED, text, steps, ImageState.COMPLETE)
        return Decision(Outcome.GUEST_GONE, text, [*self._removed(), *steps])

    async def _save(self, facts: DomainFacts) -> Decision:
        entry, file = self._entry, self._file
        complete = entry.complete or (self._finish and await file.whole())
        if complete and (self._finish or not file.regular):
            text = f"{self._name()} is whole" if file.regular else "its stream is whole"
            if facts.suspended:
                text += ", the guest is left suspended: destroy or resume it"
            steps = [*self._committed(), *self._state()]
            return Decision(Outcome.FINISHED, text, steps, ImageState.COMPLETE)
        if self._finish and not file.regular and facts.suspended:
            text = "whether its stream is whole only its reader knows; not resumed"
            return Decision(Outcome.LEFT, text, self._state())
        if entry.complete and file.final is not None:
            steps = [Step("", self._repair), *self._state()]
            text = f"{self._name()} is whole, the guest goes on, as after save -c"
            return Decision(Outcome.FINISHED, text, steps, ImageState.COMPLETE)
        return self._rolled_back(*self._removed())

    async def _restore(self, host: "SimxenToolstack") -> Decision:
        """A restore that was whole is launched, else there is nothing to launch.

        The host knows whether it was launched, whatever the journal's disk has kept:
        a guest that has had its launch is nobody's to destroy.
        """
        entry = self._entry
        if await host.launched(entry.domid):
            return Decision(
                Outcome.FINISHED, "its guest was launched", (), ImageState.COMPLETE
            )
        if entry.complete:
            fact = "guest launched, paused"
            launch = Step(
                fact, lambda: host.launch(entry.domid, entry.uuid, paused=True)
            )
            text = "all was read"
            return Decision(Outcome.FINISHED, text, [launch], ImageState.COMPLETE)
        fact = "half-built domain destroyed"
        destroy = Step(fact, lambda: host.remove(entry.domid, entry.uuid))
        return Decision(Outcome.ROLLED_BACK, self._death(), [destroy])

    def _moving(self, facts: DomainFacts) -> Decision:
        moving = Moving(self._env, entry := self._entry, self._left_by())
        if entry.kind in ("receive", "backup"):
            return moving.received(facts)
        return moving.sent(facts) or self._rolled_back(*moving.named_back())

    def _rolled_back(self, *more: Step) -> Decision:
        """The guest is here, and goes on."""
        steps = [Step("", self._repair), *self._state(), *more]
        return Decision(Outcome.ROLLED_BACK, self._death(), steps)

    def _death(self) -> str:
        where = f"in {self._entry.phase!r}" if self._entry.phase else "as it began"
        return f"{self._left_by()} {where}"

    def _left_by(self) -> str:
        """Say what is true of one that was killed, and of one that has said so."""
        parent = self._entry.parent
        how = "could not put it right" if parent.alive() else "has ended"
        return f"process {parent.pid} {how}"

    # ----- steps ------------------------------------------------------------------

    def _name(self) -> str:
        path = self._file.partial or self._file.final
        return self._entry.stream.path if path is None else str(path)

    def _committed(self) -> list[Step]:
        if self._file.partial is None:
            return []
        fact = f"{self._file.partial.name} put in its place"
        return [Step(fact, self._file.commit)]

    def _removed(self) -> list[Step]:
        if self._file.partial is None:
            return []
        return [Step(f"{self._file.partial.name} removed", self._file.remove)]

    def _state(self) -> list[Step]:
        if not self._entry.state_path or not self._device_model().has_state():
            return []
        return [Step("device model's state file removed", self._remove_state)]

    async def _remove_state(self) -> None:
        self._device_model().remove_state()

    async def _let_go(self) -> list[Step]:
        """What a protection held back of what its guest has sent leaves, in order."""
        if self._entry.kind != "remus":
            return []
        name = await plug.leftover(self._entry.domid)
        if name is None:
            return []
        return [Step(f"all let go that {name} held", partial(plug.remove, name))]

    async def _log_dirty_off(self) -> None:
        async with self._env.hypercalls() as ops:
            entry = self._entry
            await ops.checked_op(Op.LOGDIRTY_OFF, entry.domid, uuid=entry.uuid)

    async def _repair(self) -> None:
        """Do what the job itself would have done, with what it knew."""
        entry, env = self._entry, self._env
        kind = entry.type or "pv"
        suspend = GuestSuspend(env, entry.domid, entry.uuid, kind, entry.guest)
        device_model = self._device_model() if kind == "hvm" else None
        try:
            settled = await Repair(env, suspend, device_model).run()
        finally:
            if device_model is not None:
                await device_model.close()
        self._facts += settled.repairs
        if settled.guest is GuestState.UNKNOWN:
            raise BackendError("nobody knows where the guest is")

    def _device_model(self) -> DeviceModel:
        entry = self._entry
        return DeviceModel(self._env, entry.domid, entry.uuid, entry.guest)

    # ----- the end ----------------------------------------------------------------

    async def _carry_out(self, decision: Decision) -> Decision:
        for step in decision.steps:
            try:
                await step.act()
            except (LibxlpyError, OSError) as exc:
                self._facts.append(failed(step.fact, exc))
            else:
                self._facts += [step.fact] if step.fact else []
        if any(map(is_failed, self._facts)):
            return Decision(Outcome.FAILED, "not all could be put right")
        if decision.outcome is not Outcome.OPEN:
            self._lock.forget()
        return decision

    async def _report(self, decision: Decision) -> Recovered:
        entry = self._entry
        guest = GuestState.GONE
        if not self._is_gone:
            guest = (await ask_guest(self._env, entry.domid, entry.uuid)).guest
        plans = [step.fact or "guest put right" for step in decision.steps]
        error = ParentLost(self._left_by())
        error.details = JobReport(
            what=entry.what,
            domid=entry.domid,
            guest=guest,
            image=decision.image,
            repairs=(*self._facts, *(plans if self._dry_run else ())),
            phase=entry.phase,
        )
        return Recovered(
            entry.job,
            entry.what,
            entry.domid,
            decision.outcome,
            decision.text,
            error,
            self._helper_lives,
            entry.kind,
            entry.reached_by,
        )
