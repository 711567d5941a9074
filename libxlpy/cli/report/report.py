"""One report from the check of its file to the end of its command."""

import getpass
import platform
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from libxlpy import DomainInfo, Job, JobError, MigrateResult, SaveResult
from libxlpy.cli.report.file import ReportFile
from libxlpy.cli.report.page import page
from libxlpy.cli.report.story import Story
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import told_if_long
from libxlpy.save_file import ANSWER_WITHIN, SaveFileError, bounded
from libxlpy_protocol.hello import PACKAGE


class Report:
    """Entered before anything is done; left once it is known how it went.

    If none is wanted, nothing is done. One that can't be written in the end is told.
    """

    def __init__(
        self, settings: Settings, path: Path | None, kind: str, where: str
    ) -> None:
        """Take what it will be about.

        Args:
            settings: Where to say that it can't be written.
            path: Of the report; None if none is wanted.
            kind: ``"save"`` or ``"migration"``.
            where: The target, or the file that the domain goes to.
        """
        self._out = settings.out
        self._file = None if path is None else ReportFile(path)
        self._disk = f"the disk of {one_line(str(path))}"
        self._story = Story(kind, where)

    async def __aenter__(self) -> Self:
        """See that it can be written.

        Raises:
            CommandFailed: It can't.
        """
        file, story = self._file, self._story
        if file is not None:
            others = (Path(story.where),) if story.kind == "save" else ()
            with told_if_long(self._out, self._disk):
                await self._bounded(file, lambda: file.check(others))
        return self

    def about(self, domain: DomainInfo) -> None:
        """Take the domain."""
        self._story.domain = domain

    def follow(self, job: "Job[SaveResult] | Job[MigrateResult]") -> None:
        """Hear what a job tells."""
        if self._file is not None:
            job.listen(self._story.hear)

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
        self._story.result = result
        self._story.guest = guest
        self._story.downtime = downtime or result.statistics.downtime

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write it; whatever becomes of that, the command ends as it would."""
        file, story = self._file, self._story
        if file is None or story.domain is None:
            return
        if exc is not None:
            self._failed(exc)
        try:
            data = page(story, surroundings())
            with told_if_long(self._out, self._disk):
                await self._bounded(file, lambda: file.write(data))
        except CommandFailed as failure:
            self._out.note(f"xlpy: {one_line(str(failure))}")

    def _failed(self, exc: BaseException) -> None:
        story = self._story
        story.failed = str(exc) or "it was stopped"
        for error in (exc, exc.__cause__):
            if isinstance(error, JobError) and error.details.what:
                story.error = error
                story.downtime = error.details.statistics.downtime

    @staticmethod
    async def _bounded(file: ReportFile, work: Callable[[], None]) -> None:
        try:
            await bounded(file.path, work, ANSWER_WITHIN)
        except SaveFileError as exc:
            text = f"report {file.path} can't be written: {exc.reason}"
            raise CommandFailed(text) from exc


def surroundings() -> list[tuple[str, str]]:
    """Give who has done it, where and with what."""
    user = ""
    with suppress(OSError, KeyError):
        user = f"{getpass.getuser()}@"
    return [
        ("By", f"{user}{socket.gethostname()}"),
        ("With", f"libxlpy {PACKAGE}, Linux {platform.release()}"),
    ]
