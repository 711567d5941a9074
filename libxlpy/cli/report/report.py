"""The report of a command, from the check of its file to the command's end.

This one is written nowhere, as none is wanted; ``written`` has the other, and
``wanted`` says which it is.
"""

from types import TracebackType
from typing import Self

from libxlpy import DomainInfo, Job, MigrateResult, SaveResult


class Report:
    """Entered before anything is done; left once it is known how it went."""

    async def __aenter__(self) -> Self:
        """See that it can be written.

        Raises:
            CommandFailed: It can't.
        """
        return self

    def about(self, domain: DomainInfo) -> None:
        """Take the domain."""

    def follow(self, job: "Job[SaveResult] | Job[MigrateResult]") -> None:
        """Hear what a job tells."""

    def ended(
        self,
        result: SaveResult | MigrateResult,
        *,
        downtime: float | None = None,
        guest: str = "",
    ) -> None:
        """Take how it went.

        Args:
            result: Of the job.
            downtime: Milliseconds, if that is known better.
            guest: Where it is, if that has changed since.
        """

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write it; whatever becomes of that, the command ends as it would."""
