"""The helper claims success and lies: what the save has done is looked at."""

import sys
from pathlib import Path

import pytest

from libxlpy import Context
from libxlpy.errors import ProtocolViolation
from libxlpy.jobs.operation import Operation
from libxlpy.results import GuestState, ImageState
from tests.fault.sweep import DEADLINES, live_save
from tests.support.libxl_helpers import liar_program
from tests.support.victim import Victim

MISLED = Path(__file__).with_name("misled_helper.py")
OLD = b"a good old file"


async def check_refuted(ctx: Context, victim: Victim, path: Path, match: str) -> None:
    path.write_bytes(OLD)
    outcome = await live_save(ctx, victim, path)
    assert isinstance(outcome, ProtocolViolation), outcome
    assert match in str(outcome)
    assert outcome.guest is GuestState.RUNNING
    assert outcome.image is not ImageState.COMPLETE
    assert path.read_bytes() == OLD
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert victim.trouble() == ""


@pytest.mark.parametrize("at", ["Phase", "Suspend"])
async def test_what_it_has_not_written_is_missed(
    victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Nothing, or not what it had to write while the guest was suspended."""
    real = Operation.argv

    def argv(operation: Operation[object]) -> list[str]:
        own = real(operation)
        return [sys.executable, "-I", str(MISLED), at, *own[own.index("-m") + 2 :]]

    monkeypatch.setattr(Operation, "argv", argv)
    async with Context("simxen", victim.directory, DEADLINES) as ctx:
        await check_refuted(ctx, victim, tmp_path / "image", "the stream is whole, but")


@pytest.mark.parametrize(
    ("lie", "match"),
    [
        ("claims_what_it_never_asked_for", "never had suspended"),
        ("claims_what_it_never_wrote", "the stream is whole, but"),
        ("claims_what_it_wrote_half", "the stream is whole, but"),
    ],
)
async def test_xens_helper_is_not_believed_either(
    pv_victim: Victim,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    lie: str,
    match: str,
) -> None:
    helper = liar_program(tmp_path_factory.mktemp("liar") / "helper", lie)
    async with Context("simxen", pv_victim.directory, DEADLINES, helper=helper) as ctx:
        await check_refuted(ctx, pv_victim, tmp_path / "image", match)
