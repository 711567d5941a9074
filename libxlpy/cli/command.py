"""Run one command line: whatever is raised ends in one line and an exit status."""

import re
import traceback
from collections.abc import Sequence

import click

from libxlpy.cli.app import xlpy
from libxlpy.cli.terminal.outcome import (
    FAILED,
    GOOD,
    USAGE,
    CommandFailed,
    os_error_text,
)
from libxlpy.cli.terminal.output import Output, one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.signals import Interrupted, Signals
from libxlpy_protocol.errors import LibxlpyError

#: How click shows a byte that is no text: by Python's number for it.
QUOTED = re.compile(r"\\u(dc[89a-f][0-9a-f])")


def run_command(arguments: Sequence[str], signals: Signals) -> int:
    """Run one command line; give its exit status."""
    settings = Settings(Output(), signals)
    try:
        return _delivered(settings, _run(arguments, settings))
    except click.UsageError as exc:
        return _usage(settings, exc)
    except Interrupted as exc:
        settings.out.note(f"xlpy: {one_line(str(exc))}")
        return 128 + exc.signum
    except (CommandFailed, LibxlpyError, click.ClickException) as exc:
        return _failed(settings, exc, str(exc))
    except OSError as exc:
        if _of_click(exc):
            settings.out.failure = exc
            return _delivered(settings, FAILED)
        return _failed(settings, exc, os_error_text(exc))
    except Exception as exc:  # the boundary to the shell: a bug is one line, too
        text = f"bug in xlpy, please report it: {type(exc).__name__}: {exc}"
        return _failed(settings, exc, text)


def _run(arguments: Sequence[str], settings: Settings) -> int:
    try:
        status = xlpy.main(
            arguments, prog_name="xlpy", standalone_mode=False, obj=settings
        )
        return int(status or GOOD)
    finally:
        settings.signals.settle()


def _of_click(exc: OSError) -> bool:
    """Tell whether click, which prints the help and the version, could not."""
    *_, (frame, _) = traceback.walk_tb(exc.__traceback__)
    name: str = frame.f_globals["__name__"]
    return name == "click.utils"


def _failed(settings: Settings, exc: Exception, text: str) -> int:
    settings.out.note(f"xlpy: {one_line(text)}")
    if settings.verbose:
        for part in traceback.format_exception(exc):
            settings.out.note(part.rstrip())
    return FAILED


def _usage(settings: Settings, exc: click.UsageError) -> int:
    command = exc.ctx.command_path if exc.ctx else "xlpy"
    said = QUOTED.sub(lambda found: chr(int(found[1], 16)), exc.format_message())
    text = one_line(said)
    settings.out.note(f"{command}: {text} (see `{command} --help`)")
    return USAGE


def _delivered(settings: Settings, status: int) -> int:
    """Fail a command whose facts nobody could read; a pipe closed early says why."""
    failure = settings.out.failure
    if failure is None or settings.changed:
        return status
    if not isinstance(failure, BrokenPipeError):
        settings.out.note(f"xlpy: can't write to stdout: {os_error_text(failure)}")
    return status or FAILED
