"""Outcomes: each is one line and a full report."""

import errno

import pytest

from libxlpy import errors
from libxlpy.jobs.failures import failure_of
from libxlpy.results import GuestState, ImageState, JobReport
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import Complete

OUTCOMES = [
    errors.Cancelled("by\nhand"),
    errors.TimedOut("hello", 1.5),
    errors.HelperCrashed(signal=9),
    errors.HelperCrashed(status=3, hint="no library"),
    errors.HelperCrashed(),
    errors.ProtocolViolation("bad frame", b"\0"),
    errors.CallbackFailed("suspend", ValueError()),
    errors.CallbackFailed("suspend", None, 0),
    errors.StreamError(errno.ENOSPC),
    errors.XenError(-1, errno.EINVAL, "Failed\nto map"),
    errors.GuestTimedOut("no answer"),
    errors.GuestFailed("crash"),
    errors.ParentLost("gone"),
]


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
        if isinstance(value, type) and value.__module__ == errors.__name__:
            assert f"+- {name} " in errors.__doc__ + " "


@pytest.mark.parametrize(
    ("complete", "kind"),
    [
        (Complete(-1, errno.ENOSPC, False), errors.StreamError),
        (Complete(-1, errno.EPIPE, False), errors.StreamError),
        (Complete(-1, errno.EINVAL, False), errors.XenError),
        (Complete(0, 0, True), errors.Cancelled),
    ],
)
def test_verdict_of_the_helper_is_read_by_its_errno(
    complete: Complete, kind: type[errors.JobError]
):
    assert type(failure_of(complete, "")) is kind
