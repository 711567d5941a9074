"""An executable says whether a primary is gone; what it does not say, nobody knows."""

import json
from pathlib import Path

import pytest

from libxlpy import Deadlines, HookFailed
from libxlpy.remus.fence import FenceExecutable, Lost, Primary

LOST = Lost("web", "uuid", 7, "nothing came")


def fence(tmp_path: Path, text: str, seconds: float = 60.0) -> FenceExecutable:
    path = tmp_path / "fence"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return FenceExecutable(path, "hostA", Deadlines(fence=seconds))


@pytest.mark.parametrize(("status", "known"), [(0, Primary.GONE), (3, Primary.ALIVE)])
async def test_exit_status_says_it(tmp_path: Path, status: int, known: Primary) -> None:
    assert await fence(tmp_path, f"exit {status}")(LOST) is known


async def test_facts_are_told(tmp_path: Path) -> None:
    said = tmp_path / "said"
    assert await fence(tmp_path, f'(echo "$@"; cat) >{said}')(LOST) is Primary.GONE
    argument, facts = said.read_text().splitlines()
    assert argument == "fence"
    assert json.loads(facts) == {
        "when": "fence",
        "peer": "hostA",
        "name": "web",
        "uuid": "uuid",
        "epoch": 7,
        "why": "nothing came",
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo no route >&2; exit 1", "exit status 1: no route"),
        ("exit 2", "exit status 2"),
        ("kill -9 $$", "SIGKILL"),
    ],
)
async def test_all_else_says_nothing(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(HookFailed, match=why):
        await fence(tmp_path, text)(LOST)


async def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    hangs = fence(tmp_path, "echo begun >&2; sleep 1000", seconds=0.5)
    with pytest.raises(HookFailed, match=r"deadline fence of 0\.5 s passed"):
        await hangs(LOST)


async def test_one_that_is_not_there(tmp_path: Path) -> None:
    missing = FenceExecutable(tmp_path / "missing")
    with pytest.raises(HookFailed, match="No such file"):
        await missing.check()
    with pytest.raises(HookFailed, match="No such file"):
        await missing(LOST)


async def test_one_that_is_no_executable(tmp_path: Path) -> None:
    plain = fence(tmp_path, "exit 0")
    (tmp_path / "fence").chmod(0o644)
    with pytest.raises(HookFailed, match=r"not executable: chmod \+x"):
        await plain.check()


async def test_one_that_others_could_write_is_not_run(tmp_path: Path) -> None:
    open_to_all = fence(tmp_path, "exit 0")
    (tmp_path / "fence").chmod(0o777)
    with pytest.raises(HookFailed, match="chmod"):
        await open_to_all.check()
    with pytest.raises(HookFailed, match="chmod"):
        await open_to_all(LOST)
