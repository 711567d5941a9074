"""What recover does for jobs other than a save."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy import Outcome
from libxlpy.simxen.client import request
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
