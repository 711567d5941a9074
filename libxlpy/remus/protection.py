"""A protection under way, as its caller holds it."""

import enum
from collections.abc import Generator
from typing import Any

from libxlpy.jobs.job import Job
from libxlpy.remus.figures import RemusFigures
from libxlpy.remus.primary import Protect
from libxlpy.results.of_jobs import RemusResult


class ProtectionState(enum.Enum):
    """How a guest is protected."""

    #: The backup has no whole copy yet.
    STARTING = "starting"
    #: The backup could take over, from the last epoch that it has.
    PROTECTED = "protected"
    #: It runs on here, and nobody could take over.
    UNPROTECTED = "unprotected"
    #: It was given to the backup.
    SWITCHED_OVER = "switched over"


class Protection:
    """A guest that is protected; ``await`` it for how that has ended.

    It ends if it is asked to, or cannot go on; the guest then runs on here, and what it
    has sent leaves, in order. Errors are those of ``await`` on a :class:`.Job`.
    """

    def __init__(self, operation: Protect, job: Job[RemusResult]) -> None:
        """Take what runs; made by ``Context.domain_remus_start``."""
        self._operation = operation
        #: To be listened to, or cancelled.
        self.job = job

    def __await__(self) -> Generator[Any, None, RemusResult]:
        """Wait for its end."""
        return self.job.__await__()

    def stop(self) -> None:
        """Have it end with the epoch under way; the guest runs on here.

        The backup removes its copy.
        """
        self._operation.stop()

    def switch_over(self) -> None:
        """Have it end with the next epoch; the guest goes on at the backup."""
        self._operation.switch_over()

    @property
    def state(self) -> ProtectionState:
        """How the guest is protected now."""
        if self.job.done():
            is_left = self.job.error is None and self._operation.gives_away
            return (
                ProtectionState.SWITCHED_OVER
                if is_left
                else ProtectionState.UNPROTECTED
            )
        if self._operation.epochs.acknowledged:
            return ProtectionState.PROTECTED
        return ProtectionState.STARTING

    @property
    def figures(self) -> RemusFigures:
        """How long its epochs take, and how far behind the backup is."""
        return self._operation.figures
