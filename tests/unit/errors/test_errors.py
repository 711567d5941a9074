"""Outcomes: each is one line and a full report."""

import signal

import pytest

from libxlpy import errors
from libxlpy.results.report import GuestState, ImageState, JobReport
from libxlpy_protocol.errors import LibxlpyError
from tests.support.outcomes import OUTCOMES


@pytest.mark.parametrize("error", OUTCOMES, ids=map(str, range(len(OUTCOMES))))
def test_every_outcome_is_one_line_and_a_full_report(error: errors.JobError):
    error.details = JobReport(
        "save of domain 7",
        7,
        GuestState.RUNNING,
        ImageState.PARTIAL,
        ("log-dirty mode off",),
        log_lines=("error: xc: x",),
        stderr_tail="a\nb",
    )
    assert isinstance(error, LibxlpyError)
    assert "\n" not in str(error)
    assert str(error).startswith("save of domain 7: ")
    assert str(error).endswith("(guest running)")
    lines = error.report().splitlines()
    for line in ("repair: log-dirty mode off", "log: error: xc: x", "stderr: b"):
        assert line in lines


def test_all_outcomes_are_in_the_drawn_tree():
    assert errors.__doc__ is not None
    for name in dir(errors):
        value = getattr(errors, name)
        if not isinstance(value, type) or not issubclass(value, BaseException):
            continue
        if value.__module__ == errors.__name__:
            assert f"+- {name} " in errors.__doc__ + " "


@pytest.mark.parametrize(
    ("number", "name"), [(9, "SIGKILL"), (signal.SIGRTMIN, "SIGRTMIN"), (40, "40")]
)
def test_a_signal_is_named_if_it_has_a_name(number: int, name: str):
    assert errors.exit_text(signal=number, status=None) == f"signal {name}"
