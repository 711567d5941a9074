"""Each error has libxl's return code for it."""

import inspect

import pytest

from libxlpy import errors
from libxlpy.errors import JobError, QmpError
from libxlpy.libxl.codes import CODES, rc_of
from libxlpy_protocol.errors import LibxlpyError

EXPECTED = {
    "UsageError": -6,
    "DomainNotFound": -3,
    "DomainBusy": -3,
    "DomainReused": -3,
    "ConfigRefused": -6,
    "DryRun": -3,
    "NotSupported": -4,
    "BackendError": -3,
    "XenstoreError": -3,
    "QmpError": -28,
    "DomainOpError": -3,
    "Cancelled": -22,
    "PolicyAborted": -22,
    "TimedOut": -9,
    "HelperCrashed": -3,
    "ProtocolViolation": -3,
    "CallbackFailed": -3,
    "StreamError": -3,
    "XenError": -3,
    "GuestTimedOut": -8,
    "GuestFailed": -3,
    "PeerFailed": -3,
    "HookFailed": -3,
    "MigrationRefused": -3,
    "MigrationOpen": -3,
    "ParentLost": -3,
}
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value)
    and issubclass(value, LibxlpyError)
    and value not in (LibxlpyError, JobError)
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_has_its_code_in_the_table(name: str):
    kind = CLASSES[name]
    assert kind in CODES, f"{name} has no return code: add it to CODES"
    error = kind.__new__(kind)
    assert rc_of(error) == EXPECTED[name]


def test_device_model_that_does_not_answer_has_timed_out():
    error = QmpError("no answer")
    error.__cause__ = TimeoutError()
    assert rc_of(error) == -9


def test_subclass_has_the_code_of_its_base_and_strangers_fail():
    class Special(errors.GuestTimedOut):
        pass

    assert rc_of(Special("x")) == -8
    assert rc_of(ZeroDivisionError()) == -3
