"""Who is told of the jobs of a context: one begins, something happens, it has ended."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from libxlpy.events import JobEvent
from libxlpy.jobs.job import Job


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


@dataclass(frozen=True, slots=True)
class Told:
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
