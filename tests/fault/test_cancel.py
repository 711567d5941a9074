"""A live save is cancelled at every single message."""

import asyncio

from libxlpy.errors import Cancelled
from tests.fault.saboteur import cancelled, trace_of
from tests.fault.sweep import long, sweep


@long
def test_save_cancelled_at_every_message(victims, tmp_path):
    """With a device model at every kind of message."""
    trace = asyncio.run(trace_of(victims[0], tmp_path / "image"))
    every = victims[0].kind == "pv"
    for strike in sweep(victims, tmp_path, cancelled(trace), trace, every=every):
        assert type(strike.outcome) is Cancelled, strike.context
        assert strike.outcome.details.exit_status != "signal SIGKILL", strike
