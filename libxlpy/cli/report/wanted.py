"""Which report a command has: charts are loaded for one that is wanted only."""

from pathlib import Path

from libxlpy.cli.report.report import Report
from libxlpy.cli.terminal.settings import Settings


def report_for(settings: Settings, path: Path | None, kind: str, where: str) -> Report:
    """Give the report of a command.

    Args:
        settings: Where to say that it can't be written.
        path: Of the report; None if none is wanted.
        kind: ``"save"`` or ``"migration"``.
        where: The target, or the file that the domain goes to.
    """
    if path is None:
        return Report()
    from libxlpy.cli.report.written import WrittenReport

    return WrittenReport(settings, path, kind, where)
