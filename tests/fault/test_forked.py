"""A process that a toolstack has forked ends nothing of its, and keeps nothing."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy import GuestState, Outcome
from tests.fault.deaths import left, recover
from tests.fault.test_recovery import assert_whole
from tests.support.victim import Victim

TOOLSTACK = Path(__file__).with_name("forking_toolstack.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


def fork(victim: Victim, path: Path, child: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *(sys.executable, str(TOOLSTACK), str(victim.directory)),
            *(str(victim.domid), str(path), child),
        ],
        cwd=TOOLSTACK.parents[2],
        env={**os.environ, "PYTHONPATH": str(TOOLSTACK.parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("child", "status"), [("leave", 3), ("fail", 1)])
def test_child_that_leaves_a_coroutine_ends_nothing(victim, path, child, status):
    done = fork(victim, path, child)
    assert (done.returncode, done.stdout) == (0, f"{status}\n"), done.stderr
    assert_whole(path)
    victim.assert_unharmed(done.stderr)
    assert left(victim, path.parent) == []


def test_child_that_goes_on_as_its_parent_does_nothing(victim, path):
    done = fork(victim, path, "go_on")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n", done.stderr  # it can't have the outcome
    assert_whole(path)
    victim.assert_unharmed(done.stderr)
    assert left(victim, path.parent) == []


def test_child_can_use_its_own_context_only_and_no_job(pv_victim, path):
    done = fork(pv_victim, path, "use")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    seen = path.with_name("image.child").read_text()
    assert seen == " ".join(["UsageError"] * 10 + ["0", "1"])
    pv_victim.assert_unharmed(done.stderr)


def test_child_that_outlives_its_parent_keeps_nothing(victim, path):
    done = fork(victim, path, "stay")
    worker = int(path.with_name("image.child").read_text())
    try:
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert victim.info()["shutdown"]
        (found,) = recover(victim)
        assert (found.outcome, found.guest) == (
            Outcome.ROLLED_BACK,
            GuestState.RUNNING,
        ), str(found)
        victim.assert_unharmed(str(found))
        assert left(victim, path.parent) == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
