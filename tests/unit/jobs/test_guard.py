"""A guard that is gone is one clear line: what it was for, and how it ended."""

from types import SimpleNamespace
from typing import Any

import pytest

from libxlpy.errors import BackendError, HelperCrashed, TimedOut
from libxlpy.jobs.failures import PARENT_SILENT
from libxlpy.jobs.guard import Guard
from libxlpy.process.helper import ExitStatus

LEFT = "guest not given away, as the helper that guards it "


def failure_of(end: ExitStatus, cause: Exception | None = None) -> Exception:
    link: Any = SimpleNamespace(process=SimpleNamespace(exit=end))
    error = BackendError("giving the guest away: the helper is gone")
    error.__cause__ = cause
    return Guard(link, 30)._failure(error)


@pytest.mark.parametrize(
    ("end", "told"),
    [(ExitStatus(signal=9), "SIGKILL"), (ExitStatus(status=1), "exit status 1")],
)
def test_guard_that_died_is_told_with_its_end(end: ExitStatus, told: str):
    failure = failure_of(end)
    assert isinstance(failure, HelperCrashed)
    assert (failure.signal, failure.status) == (end.signal, end.status)
    assert str(failure).startswith(f"{LEFT}died: ")
    assert told in str(failure)


def test_guard_that_hangs_did_not_die():
    failure = failure_of(ExitStatus(signal=9), TimeoutError())
    assert str(failure) == f"{LEFT}did not answer"


def test_guard_that_has_let_the_guest_run_is_its_deadline():
    assert isinstance(failure_of(ExitStatus(status=PARENT_SILENT)), TimedOut)
