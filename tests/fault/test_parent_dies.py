"""kill -9 of the parent at every message of a live save."""

import subprocess
import sys
from itertools import count
from pathlib import Path

import psutil

from tests.conftest import living_descendants
from tests.fault.sweep import OLD, long
from tests.fault.victim import SOON

TOOLSTACK = Path(__file__).with_name("toolstack.py")


@long
def test_parent_killed_at_every_message(victim, tmp_path):
    path = tmp_path / "image"
    for at in count():
        path.write_bytes(OLD)
        before = {p.pid for p in living_descendants()}
        done = subprocess.run(
            [
                sys.executable,
                str(TOOLSTACK),
                str(victim.directory),
                str(victim.domid),
                str(path),
                str(at),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        # The helper is our child now: it must leave by itself, its repair done.
        orphans = [p for p in living_descendants() if p.pid not in before]
        _, alive = psutil.wait_procs(orphans, timeout=SOON)
        assert not alive, f"{done.stdout.strip()} ({at}): {alive}"
        victim.assert_unharmed(f"{done.stdout.strip()} ({at})")
        assert path.read_bytes() == OLD
    assert at > 10
