"""What is on this machine: domains, and jobs, whoever runs them.

The jobs are known from the journal, so that it works from any process of the same user.
"""

import asyncio
import enum
import signal
from abc import ABC, abstractmethod
from dataclasses import dataclass

from libxlpy.deadlines import Deadlines
from libxlpy.domain import requests
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.repair import ask_guest
from libxlpy.errors import BackendError, DomainBusy, UsageError
from libxlpy.journal import Entry, Folder, JournalBroken
from libxlpy.journal.reports import CrashReports, filed
from libxlpy.process.environment import Environment
from libxlpy.recovered import Outcome, Recovered
from libxlpy.recovery.claim import take
from libxlpy.recovery.recovery import ALONE, Recovery
from libxlpy.results import GuestState
from libxlpy_protocol.enums import Op

#: Seconds between two looks at a job that was told to stop.
LOOK_AGAIN = 0.05
#: What becomes of a dead process's job that nobody has to ask about later.
NO_FAILURE = frozenset({Outcome.FINISHED, Outcome.RUNNING})


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job of this machine."""

    job: str
    domid: int
    what: str
    phase: str
    #: When it began, seconds of the wall clock.
    since: float
    #: Process id of its toolstack.
    pid: int
    #: ``"running"``; ``"ended"``: saved, what is next is for its toolstack to do;
    #: ``"lost"``: the toolstack has died, see ``recover``.
    state: str


class AbortAnswer(enum.Enum):
    """What became of a request to abort a job."""

    #: It has stopped.
    ABORTED = "aborted"
    #: It had ended well before.
    TOO_LATE = "too late"
    #: It has not stopped in time.
    STILL_RUNNING = "still running"


class Machine(ABC):
    """Domains, and the jobs of all processes; part of a ``Context``."""

    @abstractmethod
    def _env(self, deadlines: Deadlines | None = None) -> Environment: ...

    # ----- domains ----------------------------------------------------------------

    async def list_domains(self) -> list[DomainInfo]:
        """Give all domains; see :func:`libxlpy.domain.requests.list_domains`."""
        return await requests.list_domains(self._env())

    async def resolve(self, domain: int | str) -> int:
        """Give a domid by number or name; see :func:`.requests.resolve`."""
        return await requests.resolve(self._env(), domain)

    async def retrieve_config(self, domid: int) -> bytes:
        """Give a domain's configuration as JSON, as its toolstack keeps it.

        Raises:
            DomainNotFound: There is no such domain.
            BackendError: It has none, or it can't be read.
        """
        return await requests.retrieve_config(self._env(), domid)

    async def domain_pause(self, domid: int, *, uuid: str = "") -> None:
        """Stop a domain's vcpus; errors as of :func:`libxlpy.domain.requests.do`."""
        await requests.do(self._env(), Op.PAUSE, domid, uuid)

    async def domain_unpause(self, domid: int, *, uuid: str = "") -> None:
        """Let a paused domain run; errors as of :func:`libxlpy.domain.requests.do`."""
        await requests.do(self._env(), Op.UNPAUSE, domid, uuid)

    # ----- jobs -------------------------------------------------------------------

    async def list_jobs(self) -> list[JobStatus]:
        """Give all jobs of this machine and backend, lowest domid first.

        Raises:
            BackendError: The journal can't be trusted or read.
        """
        folder = Folder(self._env().backend.jobs_dir)
        return [status(entry) for entry in readable(folder)]

    async def job_report(self, job: str) -> str:
        """Give the report of a job that failed; the newest ones are kept.

        Args:
            job: Its name, as its error's ``details.file`` and `xlpy jobs` have it.

        Raises:
            UsageError: There is none.
            BackendError: The reports can't be trusted or read.
        """
        reports = CrashReports(self._env().backend.reports_dir)
        return await asyncio.to_thread(reports.read, job)

    async def recover(self, dry_run: bool = False) -> list[Recovered]:
        """Finish or roll back every job whose process has died.

        Jobs that run, here or in other processes, are not touched.

        Args:
            dry_run: Only say what would be done.

        Raises:
            BackendError: The journal can't be trusted or read.
        """
        env = self._env()
        folder = Folder(env.backend.jobs_dir)
        found = []
        for domid in folder.domids():
            job = await _recover(env, folder, domid, dry_run=dry_run)
            if job is not None:
                found.append(job)
                await _file(env, job, dry_run=dry_run)
        return found

    async def abort_job(self, job: str) -> tuple[AbortAnswer, GuestState]:
        """Abort a job of any process and wait, bounded, until it has stopped.

        Its helper is told to stop; its own process sees the job cancelled.

        Args:
            job: Its name, as of :meth:`list_jobs`.

        Returns:
            What became of it, and where the guest is.

        Raises:
            UsageError: There is no such job, or only what a dead process left.
            BackendError: It belongs to another user.
        """
        env = self._env()
        folder = Folder(env.backend.jobs_dir)
        entry = next((each for each in readable(folder) if each.job == job), None)
        if entry is None:
            raise UsageError(f"no such job: {job}")
        if not entry.handed_over:
            _stop(entry)
        answer = await _stopped(folder, entry, env.deadlines)
        return answer, (await ask_guest(env, entry.domid, entry.uuid)).guest


# ----- one job --------------------------------------------------------------------


def readable(folder: Folder) -> list[Entry]:
    """Give the entries that can be read; the others are told by ``recover``."""
    entries = []
    for domid in folder.domids():
        try:
            entry = folder.read(domid)
        except JournalBroken:
            continue
        if entry is not None:
            entries.append(entry)
    return entries


def status(entry: Entry) -> JobStatus:
    """Give how a job stands."""
    state = "ended" if entry.handed_over else "running"
    return JobStatus(
        entry.job,
        entry.domid,
        entry.what,
        entry.phase,
        entry.since,
        entry.parent.pid,
        "lost" if entry.lost() else state,
    )


async def _recover(
    env: Environment, folder: Folder, domid: int, *, dry_run: bool
) -> Recovered | None:
    """Recover one job; None if there is nothing to recover."""
    found: Entry | None = None
    try:
        found = _left(folder.read(domid))
        if found is None:
            return None
        with take(folder, domid) as lock:
            entry = _left(lock.read())
            if entry is None:
                return None  # another recovery was quicker
            if not dry_run:
                lock.tell("a recovery", entry.job)
            return await Recovery(env, lock, entry, dry_run=dry_run).run()
    except JournalBroken as exc:
        return Recovered("", "", domid, Outcome.UNREADABLE, str(exc))
    except DomainBusy as exc:
        if found is None or not found.lost():
            return None  # it runs
        return Recovered(found.job, found.what, domid, Outcome.RUNNING, str(exc))


async def _file(env: Environment, found: Recovered, *, dry_run: bool) -> None:
    """Have the report of a job written that did not reach its aim."""
    error = found.error
    if error is not None and found.outcome not in NO_FAILURE and not dry_run:
        folder = env.backend.reports_dir
        error.details = await filed(folder, found.job, error, None)


def _left(entry: Entry | None) -> Entry | None:
    """Give an entry unless a living process has yet to go on with its guest."""
    if entry is None or (entry.handed_over and not entry.lost()):
        return None
    return entry


def _stop(entry: Entry) -> None:
    """Tell the job's helper to stop; its own clean-up and its parent do the rest.

    Raises:
        UsageError: There is nobody to tell.
        BackendError: It is another user's.
    """
    helper = entry.helpers[0] if entry.helpers else None
    try:
        if helper is not None and helper.signal(signal.SIGTERM):
            return
    except PermissionError as exc:
        raise BackendError(f"no permission to stop {entry.job}") from exc
    if entry.lost():
        text = f"process {entry.parent.pid} of {entry.job} has died"
        raise UsageError(f"{text}: use recover")


async def _stopped(folder: Folder, entry: Entry, deadlines: Deadlines) -> AbortAnswer:
    """Wait until a job has stopped, as its journal says."""
    seconds = ALONE + deadlines.abort_grace + deadlines.term_grace + deadlines.repair
    try:
        async with asyncio.timeout(seconds):
            while True:
                now = folder.read(entry.domid)
                if now is None or now.job != entry.job:
                    return AbortAnswer.ABORTED
                if now.handed_over:
                    return AbortAnswer.TOO_LATE
                if now.lost() and not any(each.alive() for each in now.helpers):
                    return AbortAnswer.ABORTED
                await asyncio.sleep(LOOK_AGAIN)
    except TimeoutError:
        return AbortAnswer.STILL_RUNNING
