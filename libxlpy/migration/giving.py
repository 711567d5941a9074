"""Give a guest away whose copy is whole: the sender's table, from there to its end.

The receiver says that it has the copy, paused -> ours gets another name -> GO -> the
receiver says that its copy runs -> ours is destroyed. The table is
``libxlpy_protocol.migration.handshake.SENDER``.

Until GO the guest is ours: whatever fails, it runs on here; should we die, the save's
helper, which stays as its guard, lets it. From GO on only the receiver knows. That we
come so far is written down before a byte of GO is sent.
"""

import time

from libxlpy.domain import requests
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.names import away
from libxlpy.domain.repair import ask_guest, failed, is_failed
from libxlpy.errors import GuestFailed, JobError, MigrationOpen, PeerFailed
from libxlpy.jobs.operation import Run
from libxlpy.migration.talk import Talk
from libxlpy.migration.waiting import Interruptible
from libxlpy.operations.save import RAN_ON
from libxlpy.process.environment import Environment
from libxlpy.results.report import GuestState, Settled
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.migration.handshake import SENDER, Event, Sending, Word

#: The copy at the other end may run.
GIVEN = frozenset({Sending.GO, Sending.REPORT, Sending.MOVED, Sending.OPEN})
#: A cancel is heard.
OURS = frozenset({Sending.COPY, Sending.RECEIVED, Sending.NAME})
DESTROYED = "domain destroyed here"
NAMED_BACK = "name given back"
STARTED_NOT = "could not start its copy"


class Giving:
    """One guest that is given away."""

    def __init__(self, env: Environment, domain: DomainInfo, talk: Talk) -> None:
        """Take it, while its copy is sent.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            domain: The guest.
            talk: To the receiver.
        """
        self.state = Sending.COPY
        #: Something is left that is not for us to remove.
        self.is_left = False
        self._env = env
        self._domid = domain.domid
        self._uuid = domain.uuid
        self._name = domain.name
        self._talk = talk
        self._waits = Interruptible()

    @property
    def is_given(self) -> bool:
        """Tell whether the copy at the other end may run."""
        return self.state in GIVEN

    def interrupt(self, reason: str) -> bool:
        """Have it end if the guest can stay; tell whether it can."""
        if self.state not in OURS:
            return False
        self._waits.cancel(reason)
        return True

    # ----- the table --------------------------------------------------------------

    async def go_through(self, run: Run) -> bool:
        """Go through the table from behind the copy; tell whether it is given."""
        self.state = SENDER[Sending.COPY][Event.DONE]
        while self.state in SENDER:
            event = Event.DONE
            try:
                event = await self._step(run)
            except JobError as exc:
                self._fail(run, exc)
                event = Event.FAILED
            except LibxlpyError as exc:
                self._fail(run, JobError(str(exc)))
                event = Event.FAILED
            self.state = SENDER[self.state][event]
        return self.is_given

    async def _step(self, run: Run) -> Event:
        """Do what the state says; an error is FAILED."""
        match self.state:
            case Sending.RECEIVED:
                run.enter("received")
                hear = self._talk.hear(Word.RECEIVED, deadline="peer_built")
                await self._waits.wait(hear)
            case Sending.NAME:
                run.enter("name")
                await self._waits.wait(self._rename(self._name, away(self._name)))
            case Sending.GO:
                await self._check_suspended()
                run.commit("go")
                if run.guard is not None:
                    await run.guard.let_go()
                await self._talk.say(Word.GO)
            case Sending.REPORT:
                return await self._report(run)
            case _:
                await self._talk.hear(Word.PERMISSION, deadline="peer_answer")
        return Event.DONE

    async def _check_suspended(self) -> None:
        """See that nobody has let the guest run while the receiver was waited for.

        From here on it is the guard's answer that tells: should we be stopped between a
        look and GO, it is the guard that lets the guest run.
        """
        settled = await ask_guest(self._env, self._domid, self._uuid)
        if settled.guest is not GuestState.SUSPENDED:
            raise GuestFailed(settled.guest.value, RAN_ON)

    async def _report(self, run: Run) -> Event:
        run.enter("report")
        report = (Word.RUNS, Word.DOES_NOT_RUN)
        if await self._talk.hear(*report, deadline="peer_answer") is not Word.RUNS:
            run.fail(PeerFailed(STARTED_NOT, self._talk.why))
            return Event.REFUSED
        run.record.meter.resumed(time.monotonic())
        run.enter("moved")
        return Event.DONE

    def _fail(self, run: Run, error: JobError) -> None:
        """Take what ends it: in doubt about the guest, the doubt."""
        if self.state is Sending.REPORT:
            text = f"nobody here knows whether {self._name!r} runs at the other end"
            error = MigrationOpen(f"{text}: {error.args[0]}")
        run.fail(error)

    # ----- what is left here ------------------------------------------------------

    async def left(self) -> Settled:
        """Destroy ours, if the receiver's runs."""
        facts: list[str] = []
        if self.state in SENDER:  # a defect came between
            self.state = Sending.OPEN
        if self.state is Sending.MOVED:
            try:
                await requests.destroy(self._env, self._domid, self._uuid)
                facts.append(DESTROYED)
            except LibxlpyError as exc:
                facts.append(failed(DESTROYED, exc))
        settled = await ask_guest(self._env, self._domid, self._uuid)
        self.is_left = self.state is Sending.OPEN or any(map(is_failed, facts))
        return Settled(settled.guest, (*facts, *settled.repairs))

    async def name_back(self) -> list[str]:
        """Give the guest its name again, if it has lost it."""
        if self.state is not Sending.STAYS:
            return []
        try:
            if (await requests.look(self._env, self._domid)).name != away(self._name):
                return []
            await self._rename(away(self._name), self._name)
        except LibxlpyError as exc:
            return [failed(NAMED_BACK, exc)]
        return [NAMED_BACK]

    async def _rename(self, old: str, new: str) -> None:
        env, domid = self._env, self._domid
        await requests.rename(env, domid, new, uuid=self._uuid, old=old)
