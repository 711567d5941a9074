"""How each program of this package starts: the helper, the drop-in and the builder.

What is here runs before hello, which a parent waits for: it loads next to nothing.
"""

from __future__ import annotations

import os
import sys

from libxlpy_helper.harden import HardenError
from libxlpy_helper.options import OptionsError
from libxlpy_helper.xen.xenguest import LoadError, set_sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from libxlpy_helper.exit_status import ExitStatus
    from libxlpy_helper.xen.xenguest import Handle, Library


class NoHypervisorError(Exception):
    """Not dom0, no permission, no simxen host; the text is one line."""


def run_program(name: str, body: Callable[[], NoReturn]) -> NoReturn:
    """Do the one job; what keeps it from being begun is told on stderr.

    Args:
        name: Of the program.
        body: Ends the process itself.
    """
    try:
        body()
    except Exception as exc:  # the other thread would keep the process alive
        _fail(name, exc)


def _fail(name: str, exc: Exception) -> NoReturn:
    from libxlpy_helper.exit_status import ExitStatus

    match exc:
        case OptionsError() | HardenError():
            end(ExitStatus.USAGE, name, str(exc))
        case LoadError():
            end(ExitStatus.NO_LIBRARY, name, str(exc))
        case NoHypervisorError():
            end(ExitStatus.NO_HYPERVISOR, name, str(exc))
    sys.excepthook(type(exc), exc, exc.__traceback__)
    end(ExitStatus.BUG, name, "internal error")


class EarlyLog:
    """What libxc logs before there is anything that could send it."""

    def __init__(self) -> None:
        """Take all that it logs from now on."""
        self.lines: list[tuple[int, int, str, str]] = []
        set_sink(self._log, lambda *_: None)

    def _log(self, level: int, errnoval: int, context: str, text: str) -> None:
        self.lines.append((level, errnoval, context, text))

    def open_handle(self, library: Library) -> Handle:
        """Open a handle to the hypervisor.

        Raises:
            NoHypervisorError: With what the library has logged.
        """
        try:
            return library.open()
        except OSError as exc:
            reasons = [exc.strerror or str(exc)]
            reasons += [f"({text})" for *_, text in self.lines if text]
            raise NoHypervisorError(" ".join(reasons)) from exc


def say(program: str, text: str) -> None:
    """Tell it to whoever reads our stderr, if anybody still does."""
    from libxlpy_protocol.fields import printable  # as soon as we talk, it is there

    try:
        sys.stderr.write(f"{program}: {printable(text)}\n")
        sys.stderr.flush()
    except OSError:
        return


def end(status: ExitStatus, program: str, text: str) -> NoReturn:
    """End the process at once, with a reason on stderr."""
    say(program, text)
    os._exit(status)
