"""kill -9 of the parent at every message of a live save."""

import asyncio
import subprocess
import sys
from pathlib import Path

import psutil

from tests.fault.saboteur import trace_of
from tests.fault.sweep import OLD, kinds, long
from tests.support.processes import living_descendants
from tests.support.victim import SOON, Victim

TOOLSTACK = Path(__file__).with_name("toolstack.py")


@long
def test_parent_killed_at_every_message(victims, tmp_path):
    """With a device model, which leaves most to be repaired; else at every kind."""
    path = tmp_path / "image"
    victim = victims[0]
    trace = asyncio.run(trace_of(victim, path))
    every = victim.kind == "hvm"
    missed = [
        at
        for at in (range(len(trace)) if every else kinds(trace))
        if not kill_parent(victim, path, at)
    ]
    # A run may have fewer log lines or heartbeats than the first had: the last places.
    assert len(missed) <= len(trace) // 4, missed
    assert all(at >= len(trace) * 3 // 4 for at in missed), missed


def kill_parent(victim: Victim, path: Path, at: int) -> bool:
    """Run a toolstack that dies at one message; check the promise.

    Returns:
        It died: its save had that many messages.
    """
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
    return done.returncode != 0
