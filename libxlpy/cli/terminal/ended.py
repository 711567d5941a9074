"""What is told of a job that has ended: figures or a failure, also as JSON."""

from typing import Any

from libxlpy import (
    DomainInfo,
    JobError,
    MigrateResult,
    RemusResult,
    RestoreResult,
    SaveResult,
)
from libxlpy.cli.terminal.follow import print_report
from libxlpy.cli.terminal.output import size_text
from libxlpy.cli.terminal.settings import Settings


def speed_text(size: int, seconds: float) -> str:
    """Give what was moved, and how fast: ``"64.0 MiB in 0.50 s (128.0 MiB/s)"``."""
    speed = size / max(seconds, 1e-9)
    return f"{size_text(size)} in {seconds:.2f} s ({size_text(speed)}/s)"


def result_facts(
    result: SaveResult | RestoreResult | MigrateResult | RemusResult,
) -> dict[str, Any]:
    """Give what a result has for JSON; its report is for people."""
    facts = {**vars(result), "guest": result.guest.value}
    del facts["report"]
    return facts


def tell_failure(
    settings: Settings,
    exc: JobError,
    *,
    json: bool,
    domain: DomainInfo | None = None,
    more: dict[str, Any] | None = None,
) -> None:
    """Print all that is told of a failure beside its line.

    Args:
        settings: Where to print, and whether the whole report, too.
        exc: The failure.
        json: For a program.
        domain: That the job was about, if there was one before it.
        more: What else its line has, for a program.
    """
    if settings.verbose:
        print_report(settings.out, exc)
    if json:
        facts: dict[str, Any] = {"result": "failed", "error": str(exc)}
        if domain is not None:
            about = {"domid": domain.domid, "name": domain.name}
            facts |= {"guest": exc.guest.value, **about, **(more or {})}
        settings.out.json(facts)
