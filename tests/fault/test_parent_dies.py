"""kill -9 of the parent at every message of a live save."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.conftest import living_descendants
from tests.fault.sweep import OLD, kinds, long, trace_of
from tests.fault.victim import SOON, Victim

TOOLSTACK = Path(__file__).with_name("toolstack.py")


@long
def test_parent_killed_at_every_message(hvm_victim, tmp_path):
    path = tmp_path / "image"
    for at in range(len(trace_of(hvm_victim, path))):
        kill_parent(hvm_victim, path, at)


@long
def test_parent_killed_at_every_kind_of_message(pv_victim, tmp_path):
    path = tmp_path / "image"
    for at in kinds(trace_of(pv_victim, path)):
        kill_parent(pv_victim, path, at)


def kill_parent(victim: Victim, path: Path, at: int) -> None:
    """Run a toolstack that dies at one message; check the promise."""
    path.write_bytes(OLD)
    before = {p.pid for p in living_descendants()}
    arguments = [str(victim.directory), str(victim.domid), str(path), str(at)]
    done = subprocess.run(
        [sys.executable, str(TOOLSTACK), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    context = f"{done.stdout.strip()} ({at}): {done.stderr}"
    assert done.returncode in (0, -9), context
    # The helper is our child now: it must leave by itself, its repair done.
    orphans = [p for p in living_descendants() if p.pid not in before]
    _, alive = psutil.wait_procs(orphans, timeout=SOON)
    assert not alive, f"{context}: {alive}"
    victim.assert_unharmed(context)
    if done.returncode:
        assert path.read_bytes() == OLD, context
