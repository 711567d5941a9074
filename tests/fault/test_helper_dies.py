"""The helper dies, hangs or lies at every single message of a live save."""

import asyncio
import signal

import pytest

from libxlpy.errors import HelperCrashed, JobError, ProtocolViolation, TimedOut
from libxlpy.results import SaveResult
from tests.fault.lying_helper import LIES
from tests.fault.sweep import (
    DEADLINES,
    OLD,
    LyingContext,
    check,
    live_save,
    long,
    sender,
    sweep,
)


@long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_helper_killed_at_every_message(victim, tmp_path, number):
    seen = 0
    for context, outcome in sweep(victim, tmp_path / "image", sender(number)):
        seen += 1
        if not isinstance(outcome, SaveResult):
            assert isinstance(outcome, HelperCrashed), context
            assert outcome.signal == number, context
    assert seen > 10


@long
def test_helper_stopped_at_every_message(hvm_victim, tmp_path):
    for context, outcome in sweep(
        hvm_victim, tmp_path / "image", sender(signal.SIGSTOP)
    ):
        assert isinstance(outcome, TimedOut), context


@long
def test_helper_terminated_at_every_message_lets_libxc_clean_up(hvm_victim, tmp_path):
    for context, outcome in sweep(
        hvm_victim, tmp_path / "image", sender(signal.SIGTERM)
    ):
        assert isinstance(outcome, SaveResult | JobError), context
        if isinstance(outcome, HelperCrashed):
            assert outcome.signal is None, f"{context}: not caught"


@long
@pytest.mark.parametrize("lie", LIES)
def test_helper_lies_at_every_message(hvm_victim, tmp_path, lie):
    path = tmp_path / "image"
    ends: list[type[object]] = []
    for at in range(60):
        path.write_bytes(OLD)
        outcome = asyncio.run(_save_by_liar(hvm_victim, path, lie, at))
        check(hvm_victim, path, outcome, f"{lie} at frame {at}")
        ends.append(type(outcome))
        if isinstance(outcome, SaveResult) and lie != "twice":
            break
    expected = {ProtocolViolation, SaveResult}
    if lie == "half":
        expected |= {TimedOut, HelperCrashed}
    if lie == "eof":
        expected |= {HelperCrashed, TimedOut}
    assert set(ends) <= expected, ends
    assert len(ends) > 10


async def _save_by_liar(victim, path, lie, at):
    async with LyingContext("simxen", victim.directory, DEADLINES) as ctx:
        ctx.lie, ctx.at = lie, at
        return await live_save(ctx, victim, path)
