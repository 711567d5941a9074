"""Have the guest of a live save or migration suspended, whichever process runs it.

One that is protected is suspended for the last time, and goes to its backup. The job's
helper is told by a signal, as for an abort, and tells its own process, which is asked
how passes, or epochs, go on. What became of it is read in the journal.
"""

import asyncio
import enum
import signal

from libxlpy.backend import Backend
from libxlpy.errors import BackendError, UsageError
from libxlpy.journal import Entry, Folder
from libxlpy.recovery.all_jobs import LOOK_AGAIN, entry_of

#: Phases before that in which passes are made, of a live job.
BEFORE = frozenset({"", "spawn", "hello", "start", "header", "libxc"})
#: Phases of a job whose process is asked how passes, or epochs, go on.
ASKED = frozenset({"precopy", "first epoch", "protected"})
#: Phases once it was told.
TOLD = frozenset({"last pass", "switch over"})
#: Seconds in which a job comes to its first pass, and its process takes an order.
SOON = 30.0


class StopAnswer(enum.Enum):
    """What became of a request to stop and copy."""

    #: The pass under way is the last one while the guest runs.
    STOPPING = "stopping"
    #: The guest was suspended before.
    TOO_LATE = "too late"
    #: Its process has not taken the order in time.
    NO_ANSWER = "no answer"


async def stop_and_copy_job(backend: Backend, job: str) -> StopAnswer:
    """Have the pass under way be the last, and wait, bounded, until that is settled.

    Args:
        backend: Has the journal.
        job: Its name, as of ``Context.list_jobs``.

    Raises:
        UsageError: There is no such job; it is none that moves a guest away while that
            runs, as one that is not live; or its process has died.
        BackendError: It belongs to another user.
    """
    folder = Folder(backend.jobs_dir)
    entry = entry_of(folder, job)
    told = False
    try:
        async with asyncio.timeout(SOON):
            while True:
                now = _read(folder, entry)
                phase = "" if now is None else now.phase
                if now is None or phase not in BEFORE | ASKED:
                    was_told = told or phase in TOLD
                    return StopAnswer.STOPPING if was_told else StopAnswer.TOO_LATE
                if phase in ASKED and not told:
                    told = _tell(now)
                await asyncio.sleep(LOOK_AGAIN)
    except TimeoutError:
        return StopAnswer.NO_ANSWER


def _read(folder: Folder, entry: Entry) -> Entry | None:
    """Give how far a job is; None if it has ended.

    Raises:
        UsageError: Its process has died, or it is of another kind.
    """
    now = folder.read(entry.domid)
    if now is None or now.job != entry.job or now.handed_over:
        return None
    if folder.lost(now):
        text = f"process {now.parent.pid} of {now.job} has ended"
        raise UsageError(f"{text}: use recover")
    _check(now)
    return now


def _check(entry: Entry) -> None:
    """See that its own process is asked how passes go on.

    Raises:
        UsageError: It is not.
    """
    why = ""
    if entry.kind not in ("save", "migrate", "remus"):
        why = f"it is a {entry.kind}"
    elif not entry.live:
        why = "it is not live, its guest is suspended before anything is copied"
    elif len(entry.helpers) > 1:
        why = "Xen's own helper copies, which asks nobody"
    if why:
        raise UsageError(f"{entry.job} can't be told to stop and copy: {why}")


def _tell(entry: Entry) -> bool:
    """Send its helper the signal; False if it has ended.

    Raises:
        BackendError: It is another user's.
    """
    try:
        return entry.helpers[0].signal(signal.SIGUSR2)
    except PermissionError as exc:
        raise BackendError(f"no permission to tell {entry.job}") from exc
