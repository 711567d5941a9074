"""A raw save is cancelled, or loses its helper, at every single message.

With a device model at every kind of message.
"""

import asyncio

import pytest

from libxlpy.errors import Cancelled, HelperCrashed
from libxlpy.results.of_jobs import SaveResult
from tests.fault.raw import LEFT, raw_save
from tests.fault.saboteur import attack, cancel, kill, trace_of
from tests.fault.sweep import long, sweep

ACTS = {"cancel": (cancel, Cancelled), "kill": (kill(), HelperCrashed)}
#: Sent once the helper's work is complete.
DONE = {"<Complete", ">Release"}


@long
@pytest.mark.parametrize("name", ACTS)
def test_raw_save_attacked_at_every_message(victims, tmp_path, name):
    act, expected = ACTS[name]
    trace = asyncio.run(trace_of(victims[0], tmp_path / "image", raw_save))
    raw = attack(name, act, trace, raw_save, LEFT)
    every = victims[0].kind == "pv"
    for strike in sweep(victims, tmp_path, raw, trace, every=every):
        if isinstance(strike.outcome, SaveResult):
            assert strike.what in DONE or strike.late, strike.context
        else:
            assert type(strike.outcome) is expected, strike.context
