"""What recover does for jobs other than a save."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy import BackendError, Outcome
from libxlpy.domain import plug
from libxlpy.simxen.client import request
from tests.fault.deaths import die as toolstack_dies
from tests.fault.deaths import helpers_gone, left, recover
from tests.fault.restoring import domids, image_of, restore
from tests.fault.saboteur import Saboteur
from tests.fault.sweep import kinds, long
from tests.support.victim import Victim

RAW = Path(__file__).with_name("dying_jobs.py")


def die(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, str(RAW), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_raw_save_leaves_the_guest_to_its_toolstack(hvm_victim, tmp_path):
    die("save", hvm_victim.directory, tmp_path / "image", hvm_victim.domid)
    assert hvm_victim.info()["logdirty"]
    (found,) = recover(hvm_victim)
    assert found.outcome is Outcome.ROLLED_BACK
    assert found.repairs == ("log-dirty mode off",)
    assert not hvm_victim.info()["logdirty"]
    assert left(hvm_victim, tmp_path) == []


@long
@pytest.mark.parametrize("how", ["alone", "with its helper"])
def test_parent_of_a_restore_killed_at_every_kind_of_message(pv_victim, tmp_path, how):
    """What was whole is launched, paused; what was not leaves no domain.

    A domain that the journal knows, and that is not kept yet, ends with its toolstack.
    """
    path = tmp_path / "image"
    config = asyncio.run(image_of(pv_victim, path))
    watcher, before = Saboteur(-1), domids(pv_victim)
    asyncio.run(restore(pv_victim, path, config, watcher))
    outcomes = {}
    for what in sorted({watcher.trace[place] for place in kinds(watcher.trace)}):
        die("restore", pv_victim.directory, path, what, how)
        helpers_gone()
        (found,) = recover(pv_victim)
        outcomes[what] = found.outcome
        made = domids(pv_victim) - before
        assert len(made) == (found.outcome is Outcome.FINISHED), f"{what}: {found}"
        for domid in made:
            facts = Victim(pv_victim.directory, domid, "pv").info()
            assert facts["guest_pid"], what
            assert facts["paused"], what
            request(pv_victim.directory, "destroy", domid=domid)
        assert left(pv_victim, tmp_path) == [], what
    finished = {what for what in outcomes if outcomes[what] is Outcome.FINISHED}
    assert finished == {">Release"}
    ends = {Outcome.FINISHED, Outcome.ROLLED_BACK}
    assert ends <= {*outcomes.values()} <= {*ends, Outcome.GUEST_GONE}
    pv_victim.assert_unharmed(how)


def test_what_a_protection_held_back_leaves(pv_victim, tmp_path, monkeypatch):
    """Behind the guest, which runs again first; what fails is tried once more."""
    holds, fails = ["xlpy-1"], [True]

    async def leftover(domid: int) -> str | None:
        assert domid == pv_victim.domid
        return holds[0] if holds else None

    async def remove(name: str) -> None:
        assert pv_victim.info()["running"]
        if fails:
            raise BackendError(f"{fails.pop() and name} can't be removed")
        holds.remove(name)

    monkeypatch.setattr(plug, "leftover", leftover)
    monkeypatch.setattr(plug, "remove", remove)
    assert left_by_death(pv_victim, tmp_path / "image", "remus")
    (found,) = recover(pv_victim)
    assert found.outcome is Outcome.FAILED
    assert any("xlpy-1 can't be removed" in text for text in found.repairs)
    (found,) = recover(pv_victim)
    assert found.outcome is Outcome.ROLLED_BACK
    assert found.repairs[-1] == "all let go that xlpy-1 held"
    assert not holds


def left_by_death(victim: Victim, path: Path, kind: str) -> str:
    """Have a toolstack die in a save, and its entry be that of another kind."""
    where = toolstack_dies(victim, path, "<Suspend")
    entry = victim.directory / "jobs" / f"{victim.domid}.json"
    facts = json.loads(entry.read_text())
    entry.write_text(json.dumps({**facts, "kind": kind}))
    path.unlink(missing_ok=True)
    return where
