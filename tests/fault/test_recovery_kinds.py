"""What recover does for jobs other than a save."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from libxlpy import Outcome
from libxlpy.simxen.client import request
from tests.fault.deaths import left, recover
from tests.fault.saboteur import trace_of
from tests.fault.victim import Victim

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


def test_half_built_domain_is_destroyed(pv_victim, tmp_path):
    path = tmp_path / "image"
    asyncio.run(trace_of(pv_victim, path))
    before = domids(pv_victim)
    die("restore", pv_victim.directory, path, "<StaticDataDone")
    assert len(domids(pv_victim)) == len(before) + 1
    (found,) = recover(pv_victim)
    assert found.outcome is Outcome.ROLLED_BACK
    assert domids(pv_victim) == before
    assert left(pv_victim, tmp_path) == []


def test_restore_that_was_whole_is_launched(pv_victim, tmp_path):
    path = tmp_path / "image"
    asyncio.run(trace_of(pv_victim, path))
    before = domids(pv_victim)
    die("restore", pv_victim.directory, path, ">Release")
    (found,) = recover(pv_victim)
    assert found.outcome is Outcome.FINISHED
    (made,) = domids(pv_victim) - before
    facts = Victim(pv_victim.directory, made, "pv").info()
    assert facts["guest_pid"]
    assert facts["paused"]
    request(pv_victim.directory, "destroy", domid=made)


def domids(victim: Victim) -> set[int]:
    domains = request(victim.directory, "list")["domains"]
    return {each["domid"] for each in domains}
