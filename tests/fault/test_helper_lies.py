"""The helper lies at every single message of a live save."""

import asyncio

import pytest

from libxlpy.errors import ProtocolViolation, TimedOut
from libxlpy.jobs.run import GUARDS
from libxlpy.results.of_jobs import SaveResult
from tests.fault.liar import HELLO, lying
from tests.fault.lying_helper import LIES
from tests.fault.saboteur import trace_of
from tests.fault.sweep import long, sweep

#: What a lie ends as.
EXPECTED: dict[str, type] = {
    "garbage": ProtocolViolation,
    "half": TimedOut,
    "eof": ProtocolViolation,
    "twice": ProtocolViolation,
}
#: Messages that may be repeated.
REPEATABLE = {"<Log", "<Phase", "<Progress", "<Stat"}


def test_every_lie_has_an_end():
    assert set(EXPECTED) == set(LIES)


def looked_at(outcome):
    """Tell whether the stream was found whole before the second word came."""
    return isinstance(outcome, SaveResult) and outcome.report.exit_status == GUARDS


@long
@pytest.mark.parametrize("lie", LIES)
def test_helper_lies_at_every_message(victims, tmp_path, lie):
    trace = asyncio.run(trace_of(victims[0], tmp_path / "image"))
    frames = [name for name in trace if name.startswith("<")]
    every = victims[0].kind == "pv"  # with a device model every kind of message
    for strike in sweep(victims, tmp_path, lying(lie), frames, every=every):
        if (lie, strike.what) == ("twice", "<Complete") and looked_at(strike.outcome):
            continue  # whoever stays as a guard has no more to say
        legal = lie == "twice" and strike.what in REPEATABLE
        expected = SaveResult if legal else EXPECTED[lie]
        assert type(strike.outcome) is expected, strike.context
        if lie == "half":
            expected = "hello" if strike.what == HELLO else "heartbeat"
            assert strike.outcome.deadline == expected, strike.context
