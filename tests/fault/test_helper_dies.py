"""The helper dies or hangs at every single message of a live save."""

import asyncio
from signal import Signals

import pytest

from libxlpy.errors import Cancelled, HelperCrashed, TimedOut
from libxlpy.jobs.run import GUARDS
from libxlpy.results.of_jobs import SaveResult
from tests.fault.saboteur import signalled, trace_of
from tests.fault.sweep import long, sweep

#: Helper's status when it is told to stop before it has anything to do.
STOPPED = 7


def strikes(victims, folder, number):
    """Send a signal at every message; with a device model at every kind of message.

    SIGKILL, which leaves most to be repaired, always at every one.
    """
    trace = asyncio.run(trace_of(victims[0], folder / "image"))
    every = victims[0].kind == "pv" or number is Signals.SIGKILL
    return sweep(victims, folder, signalled(number, trace), trace, every=every)


def won_the_race(strike):
    """Tell whether the helper's work was done and looked at before the signal came."""
    if not (strike.late and isinstance(strike.outcome, SaveResult)):
        return False
    return strike.outcome.report.exit_status in ("exit status 0", GUARDS)


@long
@pytest.mark.parametrize("number", [Signals.SIGKILL, Signals.SIGSEGV])
def test_helper_dies_at_every_message(victims, tmp_path, number):
    for strike in strikes(victims, tmp_path, number):
        if won_the_race(strike):
            continue
        assert isinstance(strike.outcome, HelperCrashed), strike
        assert strike.outcome.signal == number, strike


@long
def test_helper_stopped_at_every_message(victims, tmp_path):
    for strike in strikes(victims, tmp_path, Signals.SIGSTOP):
        if won_the_race(strike):
            continue
        assert isinstance(strike.outcome, TimedOut), strike
        expected = {"heartbeat"}
        if strike.late:  # what it had said before is still read
            expected.add("exit_after_complete")
        assert strike.outcome.deadline in expected, strike


@long
def test_helper_told_to_end_lets_libxc_clean_up(victims, tmp_path):
    for strike in strikes(victims, tmp_path, Signals.SIGTERM):
        outcome = strike.outcome
        if strike.early and isinstance(outcome, HelperCrashed):
            assert outcome.status == STOPPED, strike
        elif not won_the_race(strike):
            assert isinstance(outcome, Cancelled), strike
            assert outcome.details.exit_status == "exit status 0", strike
            frames = outcome.details.frames
            (verdict,) = [text for text in frames if text.startswith("< Complete")]
            assert "aborted=True" in verdict, strike
