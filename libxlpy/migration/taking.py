"""Take a guest whose copy here is whole: the receiver's table, from there to its end.

We say that we have it -> GO -> it runs, under its own name -> we say so. The table is
``libxlpy_protocol.migration.handshake.RECEIVER``.

Before GO the guest is the sender's, whatever fails; a whole copy that GO never came for
stays paused: the sender's host may be gone, and the copy the guest. Only a sender that
says so goes on with its own. From GO on it is ours.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from libxlpy.domain import requests
from libxlpy.domain.names import incoming
from libxlpy.domain.repair import TRIES, ask_guest, failed, is_failed
from libxlpy.domain.resume import domain_unpause
from libxlpy.errors import DomainNotFound, JobError, MigrationOpen, PeerFailed
from libxlpy.jobs.operation import Run
from libxlpy.migration.announce import Announcement
from libxlpy.migration.announced import Announced
from libxlpy.migration.waiting import Interruptible
from libxlpy.process.environment import Environment
from libxlpy.results.report import GuestState, Settled
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.migration.handshake import RECEIVER, Event, Receiving, Word
from libxlpy_protocol.migration.protection import State

REMOVED = "copy destroyed"
NAMED = "copy given its name"
#: The domain is not whole, or the sender can't know it.
PART = frozenset({Receiving.CONFIG, Receiving.BUILD})


class Taking:
    """One guest that is taken; its domain is known once it is whole."""

    table: ClassVar[Mapping[Any, Mapping[Event, Any]]] = RECEIVER
    #: The state in which it is.
    whole: ClassVar[State] = RECEIVER[Receiving.BUILD][Event.DONE]

    def __init__(self, env: Environment, domain: Announced) -> None:
        """Begin while its copy is built."""
        self.state: State = Receiving.BUILD
        #: Something is left that is not for us to remove.
        self.is_left = False
        self._env = env
        self._domain = domain
        self._talk = domain.talk
        self._domid = -1
        self._uuid = ""
        self._waits = Interruptible()
        #: Why it is not known whether the sender has given the domain away.
        self._doubt: JobError | None = None
        self._announcement = Announcement()
        self._facts: list[str] = []

    @property
    def is_whole(self) -> bool:
        """Tell whether the sender may know that there is a whole copy."""
        return self.state not in PART

    def interrupt(self, reason: str) -> bool:
        """Have it end with the copy as it is, if it can be; tell whether it can."""
        if self.state not in (Receiving.BUILD, Receiving.RECEIVED, Receiving.GO):
            return False
        self._waits.cancel(reason)
        return True

    # ----- the table --------------------------------------------------------------

    async def go_through(self, run: Run, domid: int, uuid: str) -> None:
        """Go through the table from where the copy is whole."""
        self._domid, self._uuid, self.state = domid, uuid, self.whole
        try:
            while self.state in self.table:
                self.state = self.table[self.state][await self._event(run)]
            run.record.remarks += await self._announcement.end()
        finally:
            await self._announcement.stop()

    async def _event(self, run: Run) -> Event:
        """Do what the state says, and tell how it has ended."""
        try:
            return await self._step(run)
        except MigrationOpen as exc:
            run.fail(exc)
            return Event.UNSURE
        except JobError as exc:
            self._fail(run, exc)
        except LibxlpyError as exc:
            self._fail(run, JobError(str(exc)))
        return Event.FAILED

    async def _step(self, run: Run) -> Event:
        """Do what the state says; an error is FAILED."""
        match self.state:
            case Receiving.RECEIVED:
                run.commit("received")
                await self._waits.wait(self._talk.say(Word.RECEIVED))
            case Receiving.GO:
                return await self._hear_go(run)
            case Receiving.START:
                run.enter("unpause")
                await self._start()
            case Receiving.REPORT:
                await self._talk.say(Word.RUNS)
            case Receiving.REFUSAL:
                await self._talk.say(Word.DOES_NOT_RUN, str(run.failure or ""))
            case Receiving.DECLINE:
                return await self._decline(run)
            case Receiving.REMOVE | Receiving.WITHDRAW:
                with suppress(DomainNotFound):  # somebody was quicker
                    await requests.destroy(self._env, self._domid, self._uuid)
                self._facts.append(REMOVED)
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
        raise self._doubt

    def _open(self, error: JobError) -> MigrationOpen:
        text = f"whether {self._domain.name!r} is ours the sender has not said"
        return MigrationOpen(f"{text}: {error.args[0]}")

    def _fail(self, run: Run, error: JobError) -> None:
        """Take what ends it: in doubt about the guest, the doubt."""
        if self.state is Receiving.REPORT:
            return  # it runs here: what the sender makes of that is for the sender
        match self.table[self.state][Event.FAILED]:
            case Receiving.DECLINE:
                self._doubt = error
                return
            case Receiving.OPEN:
                error = self._open(error)
        run.fail(error)

    # ----- it runs ----------------------------------------------------------------

    async def _start(self) -> None:
        """Let the copy run; what it is called comes after that."""
        runs = not (self._domain.paused or self._talk.stays_paused)
        if runs:
            try:
                await domain_unpause(self._env, self._domid, self._uuid)
            except LibxlpyError as exc:
                await self._check_runs(exc)
        self._announcement.begin(self._env, self._domid, runs=runs)
        name, told = self._domain.name, ""
        for _ in range(TRIES):  # its helper may have died
            try:
                await requests.rename(
                    self._env, self._domid, name, uuid=self._uuid, old=incoming(name)
                )
            except LibxlpyError as exc:
                told = failed(NAMED, exc)
            else:
                return
        self._facts.append(told)

    async def _check_runs(self, error: LibxlpyError) -> None:
        """Find out whether a copy runs that could not be let run.

        Raises:
            MigrationOpen: Nobody can tell.
            LibxlpyError: It does not: what was in the way.
        """
        settled = await ask_guest(self._env, self._domid, self._uuid)
        match settled.guest:
            case GuestState.PAUSED | GuestState.GONE:
                raise error
            case GuestState.UNKNOWN:
                text = f"whether {self._domain.name!r} runs could not be found out"
                raise MigrationOpen(f"{text}: {error}") from error
            case _:
                pass  # it does, or did and has ended by itself

    # ----- what is left here ------------------------------------------------------

    async def left(self) -> Settled:
        """Tell what was done since it was last asked, and where the copy is."""
        facts, self._facts = self._facts, []
        if self.state in self.table:  # a defect came between
            self.state = Receiving.DOUBT
        kept = self.state in (Receiving.OPEN, Receiving.DOUBT)
        self.is_left = kept or any(map(is_failed, facts))
        settled = await ask_guest(self._env, self._domid, self._uuid)
        return Settled(settled.guest, (*facts, *settled.repairs))
