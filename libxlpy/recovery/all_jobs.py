"""The jobs of this machine, whoever runs them.

They are known from the journal, so that it works from any process of the same user.
"""

import asyncio
import enum
import signal
from typing import TYPE_CHECKING

from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.domain.repair import ask_guest
from libxlpy.errors import BackendError, DomainBusy, UsageError
from libxlpy.journal import Entry, Folder, JournalBroken
from libxlpy.journal.reports import CrashReports, filed
from libxlpy.later import later
from libxlpy.process.environment import Environment, found
from libxlpy.recovery.claim import take
from libxlpy.results.figures import JobFigures
from libxlpy.results.report import GuestState
from libxlpy_protocol.value import Value

if TYPE_CHECKING:
    from libxlpy.recovery import decision, recovery
    from libxlpy.recovery.recovery import Recovered
else:  # not to list the jobs
    decision, recovery = later("libxlpy.recovery", "decision", "recovery")

#: Seconds between two looks at a job that was told to stop.
LOOK_AGAIN = 0.05


class JobStatus(Value):
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
    #: How far it is; None before that is known.
    figures: JobFigures | None = None
    #: ``"save"``, ``"migrate"``, ``"remus"`` ...
    kind: str = ""


class AbortAnswer(enum.Enum):
    """What became of a request to abort a job."""

    #: It has stopped.
    ABORTED = "aborted"
    #: It had ended well before.
    TOO_LATE = "too late"
    #: It has not stopped in time.
    STILL_RUNNING = "still running"


async def list_jobs(backend: Backend) -> list[JobStatus]:
    """Give all jobs of this machine and backend, lowest domid first.

    Raises:
        BackendError: The journal can't be trusted or read.
    """
    folder = Folder(backend.jobs_dir)
    return [status(entry, folder) for entry in readable(folder)]


async def job_report(backend: Backend, job: str) -> str:
    """Give the report of a job that failed; the newest ones are kept.

    Args:
        backend: Has the reports.
        job: Its name, as its error's ``details.file`` and `xlpy jobs` have it.

    Raises:
        UsageError: There is none.
        BackendError: The reports can't be trusted or read.
    """
    reports = CrashReports(backend.reports_dir)
    return await found(lambda: reports.read(job))


async def recover(env: Environment, *, dry_run: bool) -> "list[Recovered]":
    """Finish or roll back every job whose process has died.

    Jobs that run, here or in other processes, are not touched.

    Args:
        env: Backend, deadlines, the helpers for hypercalls.
        dry_run: Only say what would be done.

    Raises:
        BackendError: The journal can't be trusted or read.
    """
    folder = Folder(env.backend.jobs_dir)
    jobs = []
    for domid in folder.domids():
        job = await _recover(env, folder, domid, dry_run=dry_run)
        if job is not None:
            jobs.append(job)
            await _file(env, job, dry_run=dry_run)
    if not dry_run:
        folder.sweep()
    return jobs


async def abort_job(env: Environment, job: str) -> tuple[AbortAnswer, GuestState]:
    """Abort a job of any process and wait, bounded, until it has stopped.

    Its helper is told to stop; its own process sees the job cancelled.

    Args:
        env: Backend, deadlines, the helpers for hypercalls.
        job: Its name, as of :func:`list_jobs`.

    Returns:
        What became of it, and where the guest is.

    Raises:
        UsageError: There is no such job, or only what a dead process left.
        BackendError: It belongs to another user.
    """
    folder = Folder(env.backend.jobs_dir)
    entry = entry_of(folder, job)
    if not entry.handed_over:
        _stop(entry, folder)
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


def entry_of(folder: Folder, job: str) -> Entry:
    """Give the entry of a job.

    Raises:
        UsageError: There is none.
    """
    entry = next((each for each in readable(folder) if each.job == job), None)
    if entry is None:
        raise UsageError(f"no such job: {job:.80}")
    return entry


def status(entry: Entry, folder: Folder) -> JobStatus:
    """Give how a job stands."""
    state = "ended" if entry.handed_over else "running"
    return JobStatus(
        entry.job,
        entry.domid,
        entry.what,
        entry.phase,
        entry.since,
        entry.parent.pid,
        "lost" if folder.lost(entry) else state,
        folder.figures(entry),
        entry.kind,
    )


async def _recover(
    env: Environment, folder: Folder, domid: int, *, dry_run: bool
) -> "Recovered | None":
    """Recover one job; None if there is nothing to recover. Others do not wait for it.

    What can't be looked at now, as no descriptor is left, is for the next recover.
    """
    found: Entry | None = None
    try:
        found = _left(folder, folder.read(domid))
        if found is None:
            return None
        with take(folder, domid) as lock:
            entry = _left(folder, lock.read())
            if entry is None:
                return None  # another recovery was quicker
            if not dry_run:
                lock.tell("a recovery", entry.job)
            return await recovery.Recovery(env, lock, entry, dry_run=dry_run).run()
    except JournalBroken as exc:
        return recovery.Recovered("", "", domid, decision.Outcome.UNREADABLE, str(exc))
    except DomainBusy as exc:
        assert found is not None  # else it was not tried
        return recovery.Recovered(
            found.job, found.what, domid, decision.Outcome.RUNNING, str(exc)
        )
    except BackendError as exc:
        job, what = ("", "") if found is None else (found.job, found.what)
        return recovery.Recovered(job, what, domid, decision.Outcome.FAILED, str(exc))


async def _file(env: Environment, found: "Recovered", *, dry_run: bool) -> None:
    """Have the report of a job written that did not reach its aim."""
    error, outcome = found.error, decision.Outcome
    failed = found.outcome not in (outcome.FINISHED, outcome.RUNNING)
    if error is not None and failed and not dry_run:
        folder = env.backend.reports_dir
        error.details = await filed(folder, found.job, error, None)


def _left(folder: Folder, entry: Entry | None) -> Entry | None:
    """Give an entry unless its process lives: the guest is that one's."""
    return entry if entry is not None and folder.lost(entry) else None


def _stop(entry: Entry, folder: Folder) -> None:
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
    if folder.lost(entry):
        text = f"process {entry.parent.pid} of {entry.job} has ended"
        raise UsageError(f"{text}: use recover")


async def _stopped(folder: Folder, entry: Entry, deadlines: Deadlines) -> AbortAnswer:
    """Wait until a job has stopped, as its journal says."""
    seconds = (
        recovery.ALONE + deadlines.abort_grace + deadlines.term_grace + deadlines.repair
    )
    try:
        async with asyncio.timeout(seconds):
            while True:
                now = folder.read(entry.domid)
                if now is None or now.job != entry.job:
                    return AbortAnswer.ABORTED
                if now.handed_over:
                    return AbortAnswer.TOO_LATE
                helpers_live = any(each.alive() for each in now.helpers)
                if folder.lost(now) and not helpers_live:
                    return AbortAnswer.ABORTED
                await asyncio.sleep(LOOK_AGAIN)
    except TimeoutError:
        return AbortAnswer.STILL_RUNNING
