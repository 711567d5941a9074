"""The helper dies, hangs or lies at every single message of a live save."""

import asyncio
import signal

import pytest

from libxlpy.errors import HelperCrashed, ProtocolViolation, TimedOut
from libxlpy.results import SaveResult
from tests.fault.lying_helper import LIES
from tests.fault.sweep import (
    DEADLINES,
    OLD,
    LyingContext,
    check,
    kinds,
    live_save,
    long,
    sender,
    sweep,
    trace_of,
)


@long
def test_helper_killed_at_every_message(victim, tmp_path):
    ends = sweep(victim, tmp_path / "image", sender(signal.SIGKILL), every=True)
    for context, outcome in ends:
        if not isinstance(outcome, SaveResult):
            assert isinstance(outcome, HelperCrashed), context
            assert outcome.signal == signal.SIGKILL, context


@long
def test_helper_crashes_at_every_kind_of_message(victim, tmp_path):
    ends = sweep(victim, tmp_path / "image", sender(signal.SIGSEGV))
    for context, outcome in ends:
        if not isinstance(outcome, SaveResult):
            assert isinstance(outcome, HelperCrashed), context
            assert outcome.signal == signal.SIGSEGV, context


@long
def test_helper_stopped_at_every_kind_of_message(hvm_victim, tmp_path):
    ends = sweep(hvm_victim, tmp_path / "image", sender(signal.SIGSTOP))
    for context, outcome in ends:
        assert isinstance(outcome, TimedOut | SaveResult), f"{context}: {outcome}"


@long
def test_helper_told_to_end_lets_libxc_clean_up(hvm_victim, tmp_path):
    ends = sweep(hvm_victim, tmp_path / "image", sender(signal.SIGTERM))
    for context, outcome in ends:
        if isinstance(outcome, HelperCrashed):
            assert outcome.signal is None, f"{context}: not caught"


@long
@pytest.mark.parametrize("lie", LIES)
def test_helper_lies_at_every_kind_of_message(hvm_victim, tmp_path, lie):
    path = tmp_path / "image"
    trace = [name for name in trace_of(hvm_victim, path) if name.startswith("<")]
    for at in kinds(trace):
        path.write_bytes(OLD)
        outcome = asyncio.run(_save_by_liar(hvm_victim, path, lie, at))
        context = f"{lie} instead of {trace[at]} ({at}): {outcome}"
        check(hvm_victim, path, outcome, context)
        assert type(outcome) in EXPECTED[lie], context


#: What a lie may end as. Frames that may be repeated are no lie when sent twice, and
#: one that is the last or comes late may find the job done.
EXPECTED: dict[str, set[type]] = {
    "garbage": {ProtocolViolation, SaveResult},
    "half": {ProtocolViolation, TimedOut, SaveResult},
    "eof": {ProtocolViolation, HelperCrashed, SaveResult},
    "twice": {ProtocolViolation, SaveResult},
}


async def _save_by_liar(victim, path, lie, at):
    async with LyingContext("simxen", victim.directory, DEADLINES) as ctx:
        ctx.lie, ctx.at = lie, at
        return await live_save(ctx, victim, path)
