"""Who is told of the jobs of a context: one begins, something happens, it has ended.

``logging`` is: for programs that have set it up, see docs/logging.md. Nothing is
installed and nothing printed: where no handler would take a record, none is made, so
that Python's handler of last resort stays quiet, too.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from libxlpy.events import JobEvent, LogEvent, PhaseEvent, StallEvent
from libxlpy.jobs.job import Job
from libxlpy_protocol.fields import one_line
from libxlpy_protocol.value import Value

#: A job begins, enters a phase, stalls, ends.
JOBS = logging.getLogger("libxlpy.job")
#: Log lines of helpers: libxenguest's, and their own.
HELPERS = logging.getLogger("libxlpy.helper")
#: Level of logging for each of ``xentoollog``'s, from XTL_NONE to XTL_CRITICAL.
LEVELS = (
    *(logging.DEBUG,) * 5,  # none, debug, verbose, detail, progress
    *(logging.INFO, logging.INFO),  # info, notice
    *(logging.WARNING, logging.ERROR, logging.CRITICAL),
)


class Watcher:
    """Is told of every job of a context; each method does nothing unless overridden.

    All are called on the event loop in the middle of the job, and must not block. What
    they raise goes to the loop's exception handler and never to the job.
    """

    def began(self, job: Job[Any]) -> None:
        """Take note of a job that is about to begin."""

    def event(self, job: Job[Any], event: JobEvent) -> None:
        """Take note of what a job tells."""

    def ended(self, job: Job[Any]) -> None:
        """Take note of a job that has ended, with what ``job.error`` says."""

    def undone(self, job: Job[Any]) -> None:
        """Take note that one that had ended well is undone: nobody took its result.

        ``job.error`` says so from now on.
        """


class Told(Value):
    """What tells those who watch a job of its end, and of what may come after it."""

    ended: Callable[[], None]
    undone: Callable[[], None]


class Watchers:
    """The watchers of one context."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = list(watchers)

    def add(self, watcher: Watcher) -> None:
        """Tell one more of all jobs that begin from now on."""
        self._watchers.append(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Tell one of no further jobs; of those it knows it sees the end."""
        self._watchers.remove(watcher)

    def began(self, job: Job[Any]) -> Told:
        """Tell all of a job; give what tells them of its end."""
        watchers = tuple(self._watchers)
        for watcher in watchers:
            _told(watcher.began, job)

        def event(event: JobEvent) -> None:
            for watcher in watchers:
                _told(watcher.event, job, event)

        def ended() -> None:
            for watcher in watchers:
                _told(watcher.ended, job)

        def undone() -> None:
            for watcher in watchers:
                _told(watcher.undone, job)

        job.listen(event)
        return Told(ended, undone)


def _told(function: Callable[..., None], *arguments: Any) -> None:
    try:
        function(*arguments)
    except Exception as exc:  # the boundary to the caller's code
        what = {"message": f"{function!r} failed", "exception": exc}
        asyncio.get_running_loop().call_exception_handler(what)


# ----- logging --------------------------------------------------------------------


class JobLog(Watcher):
    """Log the jobs of a context."""

    def began(self, job: Job[Any]) -> None:
        """Log what begins."""
        log(JOBS, logging.INFO, job, "%s begins", job.what)

    def event(self, job: Job[Any], event: JobEvent) -> None:
        """Log what is of interest to somebody who was not there."""
        match event:
            case PhaseEvent(name, at):
                log(JOBS, logging.DEBUG, job, "%s: %s at %.3f s", job.what, name, at)
            case StallEvent(action=action, text=text):
                log(JOBS, logging.WARNING, job, "%s: %s: %s", job.what, text, action)
            case LogEvent(level, _, context, text):
                log(HELPERS, level_of(level), job, "%s: %s", context, text)

    def ended(self, job: Job[Any]) -> None:
        """Log how it ended; what failed as an error, a cancel as what was asked for."""
        error = job.error
        if error is None:
            log(JOBS, logging.INFO, job, "%s is complete", job.what)
        elif job.cancelled():
            log(JOBS, logging.WARNING, job, "%s", error)
        else:
            log(JOBS, logging.ERROR, job, "%s", error)

    def undone(self, job: Job[Any]) -> None:
        """Log that what was complete is not so any more."""
        log(JOBS, logging.WARNING, job, "%s is undone: %s", job.what, job.error)


def log(
    logger: logging.Logger, level: int, job: Job[Any], text: str, *values: Any
) -> None:
    """Log a line about a job, if anybody listens.

    A line break in a text would forge records, and a terminal would obey the rest.
    """
    if heard(logger, level):
        fields = {"job": job.name, "domid": job.domid, "phase": job.phase}
        safe = (
            each if isinstance(each, float) else one_line(str(each)) for each in values
        )
        logger.log(level, text, *safe, extra=fields)


def heard(logger: logging.Logger, level: int) -> bool:
    """Tell whether anybody listens; Python's handler of last resort does not count."""
    return logger.isEnabledFor(level) and logger.hasHandlers()


def level_of(xtl: int) -> int:
    """Give the level of logging for one of ``xentoollog``."""
    return LEVELS[xtl] if 0 <= xtl < len(LEVELS) else logging.CRITICAL
