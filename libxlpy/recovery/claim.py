"""Which domains are in use on this machine: one job or operation at a time each.

A claim is the lock of the domain in the journal's folder, so it holds against other
contexts and other processes alike. What a dead process left on the domain is put right
before anything new is done to it.
"""

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from libxlpy.domain.hypercalls import check_domid
from libxlpy.errors import BackendError, DomainBusy, reason_of
from libxlpy.journal import (
    Entry,
    Folder,
    Identity,
    JournalBroken,
    Life,
    Lock,
    Locked,
)
from libxlpy.journal.told import encode
from libxlpy.later import later
from libxlpy.process.environment import Environment
from libxlpy.results.figures import JobFigures
from libxlpy.results.report import GuestFacts

if TYPE_CHECKING:
    from libxlpy.recovery import decision, recovery
else:  # for what a dead process left, which is seen before anything else is done
    decision, recovery = later("libxlpy.recovery", "decision", "recovery")

#: Kinds of jobs whose outcome the other end may have to tell.
MOVES = frozenset({"migrate", "receive", "remus", "backup"})

logger = logging.getLogger("libxlpy.recovery")

#: Bytes of the random part of a job's name.
NAME_BYTES = 3


class Claim:
    """One domain in use; given up at the end of its block unless a job keeps it."""

    def __init__(self, lock: Lock, what: str) -> None:
        self.domid = lock.domid
        self.kept = False
        self._lock = lock
        self._what = what
        self._entry: Entry | None = None
        self._life: Life | None = None

    # ----- as a job's journal -----------------------------------------------------

    def begin(self, **known: Any) -> str:
        """Write down a job that is about to begin; the claim is then the job's.

        Args:
            known: What of an :class:`Entry` is known of the job itself.

        Raises:
            BackendError: It can't be written.
        """
        try:
            return self._begun(known)
        except OSError as exc:
            text = f"can't write the journal of domain {self.domid}: {reason_of(exc)}"
            raise BackendError(text) from exc

    def _begun(self, known: dict[str, Any]) -> str:
        name = f"{self._what.split()[-1]}-{self.domid}-{os.urandom(NAME_BYTES).hex()}"
        self._entry = Entry(
            job=name,
            domid=self.domid,
            since=time.time(),
            parent=Identity.own(),
            guest=GuestFacts(),
            **known,
        )
        self._lock.tell(self._what, name)
        self._life = self._lock.begin(self._entry)
        self.kept = True
        return name

    def note(self, facts: dict[str, Any]) -> None:
        """Write down what is true now, or about to be.

        Raises:
            OSError: It can't be written.
        """
        assert self._entry is not None  # begin comes first
        entry = self._entry.with_facts(facts)
        if entry != self._entry:
            self._lock.rewrite(entry)
            self._entry = entry

    def show(self, figures: JobFigures) -> None:
        """Let others know how far the job is."""
        if self._life is not None:
            self._life.tell(encode(figures))

    def hand_over(self) -> Life:
        """Leave the domain to the caller, until they do the next thing with it.

        Returns:
            For as long as they live, or until they have: it keeps others from it.
        """
        assert self._life is not None  # begin comes first
        with contextlib.suppress(OSError):  # it lives, so that it is not touched
            self.note({"handed_over": True})
        self._lock.release()
        return self._life

    def close(self) -> None:
        """Nothing is left to do on the domain: give it free."""
        with contextlib.suppress(OSError):
            self._lock.forget()
        self.give_up()

    def leave(self) -> None:
        """Not all is done: what is written of it stays, for ``recover``."""
        self.kept = True
        self.give_up()

    def give_up(self) -> None:
        """Give the domain free; what is written of it is for ``recover`` to do."""
        if self._life is not None:
            self._life.close()
        self._lock.release()


@asynccontextmanager
async def claim(
    env: Environment, domid: int, what: str, *, of: str = ""
) -> AsyncIterator[Claim]:
    """Have a domain for ourselves.

    Args:
        env: Has the folder; also for putting right what a dead process left.
        domid: Of the domain.
        what: As in "a save".
        of: The job, ended, whose rest is to be done: nobody else is to do it before.

    Raises:
        UsageError: It is no domid.
        DomainBusy: Somebody else works on the domain.
        BackendError: The journal can't be used, or what a dead process left can't be
            put right.
    """
    lock = take(Folder(env.backend.jobs_dir), check_domid(domid))
    mine = Claim(lock, what)
    try:
        lock.tell(what)
        await _look_back(env, lock, of)
        yield mine
    except BaseException:
        if not mine.kept:
            mine.give_up()
        raise
    if not mine.kept:
        mine.close()


def left_open(env: Environment, domid: int) -> str:
    """Give the job of a migration that has ended with its outcome open; "" if none.

    Raises:
        BackendError: The journal can't be used.
    """
    folder = Folder(env.backend.jobs_dir)
    try:
        entry = folder.read(check_domid(domid))
    except JournalBroken as exc:
        raise BackendError(str(exc)) from exc
    if entry is None or entry.kind not in MOVES or not folder.lost(entry):
        return ""
    return entry.job


def take(folder: Folder, domid: int) -> Lock:
    """Take a domain's lock.

    Raises:
        DomainBusy: Somebody else works on the domain.
        BackendError: The folder can't be used.
    """
    try:
        return folder.lock(domid)
    except Locked as exc:
        if exc.holder is None:
            raise DomainBusy(domid, "another operation") from exc
        holder = exc.holder
        raise DomainBusy(domid, holder.what, holder.job, holder.pid) from exc


async def _look_back(env: Environment, lock: Lock, of: str) -> None:
    """Put right what a dead process left on the domain, if anything.

    Raises:
        DomainBusy: A living one has yet to go on with the guest that it has saved.
        BackendError: It can't be put right.
    """
    try:
        entry = lock.read()
    except JournalBroken as exc:
        raise BackendError(str(exc)) from exc
    if entry is None or entry.job == of or lock.folder.is_own(entry):
        return
    if not lock.folder.lost(entry):
        what = f"a {entry.kind} that has ended and has yet to go on with its guest"
        raise DomainBusy(lock.domid, what, entry.job, entry.parent.pid)
    found = await recovery.Recovery(env, lock, entry).run()
    if found.outcome is decision.Outcome.RUNNING:
        raise DomainBusy(lock.domid, f"a {entry.kind}", entry.job, entry.parent.pid)
    if found.settled:
        return
    facts = "; ".join([found.text, *found.repairs])
    text = f"what {entry.job} left on domain {lock.domid} can't be put right: {facts}"
    if found.stands:
        raise BackendError(text)
    logger.warning("%s", text)


def forget(folder: Folder, domid: int, job: str) -> None:
    """Remove the entry of a job that was handed over, if it is still that one."""
    nothing_to_forget = (Locked, BackendError, JournalBroken, OSError)
    with contextlib.suppress(*nothing_to_forget), folder.lock(domid) as lock:
        entry = lock.read()
        if entry is not None and entry.job == job:
            lock.forget()
