"""A live save is cancelled at every single message."""

import asyncio

from libxlpy.errors import Cancelled
from libxlpy.results import SaveResult
from tests.fault.saboteur import cancelled, trace_of
from tests.fault.sweep import long, sweep

#: Sent once the helper's work is complete: too late for a cancel.
TOO_LATE = ">Release"


@long
def test_save_cancelled_at_every_message(victims, tmp_path):
    """With a device model at every kind of message."""
    trace = asyncio.run(trace_of(victims[0], tmp_path / "image"))
    every = victims[0].kind == "pv"
    for strike in sweep(victims, tmp_path, cancelled(trace), trace, every=every):
        expected = SaveResult if strike.what == TOO_LATE else Cancelled
        assert type(strike.outcome) is expected, strike.context
        if expected is Cancelled:
            assert strike.outcome.details.exit_status != "signal SIGKILL", strike
