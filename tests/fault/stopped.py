"""A process that is stopped, and what becomes of its guest meanwhile."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.guest import Guest

#: Seconds for what must come; a bound, not a measure.
PATIENCE = 60.0
LOOK_EVERY = 0.02
#: Seconds of silence after which a guest is let run.
SILENT = 1.0
STOP: dict[str, Any] = {
    "signal": int(signal.SIGSTOP),
    "deadlines": {"parent_silent": SILENT},
}


def started(
    program: Path, plan: dict[str, Any], fds: list[int]
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(program), json.dumps(plan)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=fds,
        text=True,
    )


def wait_stopped(process: "subprocess.Popen[str]") -> None:
    stat = Path(f"/proc/{process.pid}/stat")
    _until(lambda: stat.read_text().rpartition(")")[2].split()[0] in "TZ")
    assert process.poll() is None, process.communicate()


def wait_runs(guest: Guest) -> None:
    """Wait until somebody has put the guest right: it runs, and all is as before."""
    _until(lambda: _is_right(guest))
    guest.assert_untouched()


def _is_right(guest: Guest) -> bool:
    try:
        guest.assert_untouched()
    except AssertionError:
        return False
    return True


def assert_stays_suspended(guest: Guest) -> None:
    """Nobody lets it run, though the silence is long enough."""
    until = time.monotonic() + 3 * SILENT
    while time.monotonic() < until:
        assert guest.facts()["shutdown"]
        time.sleep(LOOK_EVERY)


def goes_on(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Let it go on; give what it has said."""
    process.send_signal(signal.SIGCONT)
    out, errors = process.communicate(timeout=PATIENCE)
    return out.strip(), errors


def _until(happened: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(LOOK_EVERY)
