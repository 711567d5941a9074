"""A report that is written; one that can't be in the end is told."""

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
from libxlpy.cli.report.report import Report
from libxlpy.cli.report.story import Story
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import told_if_long
from libxlpy.save_file import ANSWER_WITHIN, SaveFileError, bounded
from libxlpy_protocol.hello import PACKAGE


class WrittenReport(Report):
    """One file; its arguments are those of ``report_for``."""

    def __init__(self, settings: Settings, path: Path, kind: str, where: str) -> None:
        """Take what it will be about."""
        self._out = settings.out
        self._file = ReportFile(path)
        self._disk = f"the disk of {one_line(str(path))}"
        self._story = Story(kind, where)

    async def __aenter__(self) -> Self:
        """See the base class."""
        story = self._story
        others = (Path(story.where),) if story.kind == "save" else ()
        with told_if_long(self._out, self._disk):
            await self._bounded(lambda: self._file.check(others))
        return self

    def about(self, domain: DomainInfo) -> None:
        """See the base class."""
        self._story.domain = domain

    def follow(self, job: "Job[SaveResult] | Job[MigrateResult]") -> None:
        """See the base class."""
        job.listen(self._story.hear)

    def ended(
        self,
        result: SaveResult | MigrateResult,
        *,
        downtime: float | None = None,
        guest: str = "",
    ) -> None:
        """See the base class."""
        self._story.result = result
        self._story.guest = guest
        self._story.downtime = downtime or result.statistics.downtime

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See the base class."""
        story = self._story
        if story.domain is None:
            return
        if exc is not None:
            self._failed(exc)
        try:
            data = page(story, surroundings())
            with told_if_long(self._out, self._disk):
                await self._bounded(lambda: self._file.write(data))
        except CommandFailed as failure:
            self._out.note(f"xlpy: {one_line(str(failure))}")

    def _failed(self, exc: BaseException) -> None:
        story = self._story
        story.failed = str(exc) or "it was stopped"
        for error in (exc, exc.__cause__):
            if isinstance(error, JobError) and error.details.what:
                story.error = error
                story.downtime = error.details.statistics.downtime

    async def _bounded(self, work: Callable[[], None]) -> None:
        path = self._file.path
        try:
            await bounded(path, work, ANSWER_WITHIN)
        except SaveFileError as exc:
            text = f"report {path} can't be written: {exc.reason}"
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
