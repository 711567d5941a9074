"""What jobs tell to ``logging``, for programs that have set it up; see docs/logging.md.

Nothing is installed and nothing printed: where no handler would take a record, none is
made, so that Python's handler of last resort stays quiet, too.
"""

import logging
from typing import Any

from libxlpy.events import JobEvent, LogEvent, PhaseEvent, StallEvent
from libxlpy.jobs.job import Job
from libxlpy.jobs.watchers import Watcher

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
                log(HELPERS, level_of(level), job, "%s: %s", context, one_line(text))

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
    """Log a line about a job, if anybody listens."""
    if heard(logger, level):
        fields = {"job": job.name, "domid": job.domid, "phase": job.phase}
        logger.log(level, text, *values, extra=fields)


def heard(logger: logging.Logger, level: int) -> bool:
    """Tell whether anybody listens; Python's handler of last resort does not count."""
    return logger.isEnabledFor(level) and logger.hasHandlers()


def level_of(xtl: int) -> int:
    """Give the level of logging for one of ``xentoollog``."""
    return LEVELS[xtl] if 0 <= xtl < len(LEVELS) else logging.CRITICAL


def one_line(text: str) -> str:
    """Give a helper's text with no line breaks in it: they would forge records."""
    return " ".join(text.split())
