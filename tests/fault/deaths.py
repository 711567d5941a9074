"""Have a toolstack die in the middle of a save, and recover what it left."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from libxlpy import Context, Recovered
from tests.fault.sweep import DEADLINES
from tests.support.processes import living_descendants
from tests.support.victim import SOON, Victim

TOOLSTACK = Path(__file__).with_name("dying_toolstack.py")
BOTH = int(signal.SIGKILL)


def die(victim: Victim, path: Path, at: int | str, **plan: Any) -> str:
    """Run a toolstack that dies with its helper; give where, "" if it did not."""
    where = {"host": str(victim.directory), "domid": victim.domid, "path": str(path)}
    arguments = json.dumps({"helper": BOTH, **where, "at": at, **plan})
    done = subprocess.run(
        [sys.executable, str(TOOLSTACK), arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout.strip() if done.returncode else ""


def helpers_gone() -> None:
    """Wait for what is left of the toolstack's helpers; they are our children now."""
    helpers = [
        each
        for each in living_descendants()
        if "-m libxlpy_helper" in line(each) or not line(each)  # on its way out
    ]
    _, alive = psutil.wait_procs(helpers, timeout=SOON)
    assert not alive, [line(each) for each in alive]


def line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def recover(victim: Victim, **options: Any) -> list[Recovered]:
    """Recover all jobs of the host."""

    async def work() -> list[Recovered]:
        async with Context("simxen", victim.directory, DEADLINES) as ctx:
            return await ctx.recover(**options)

    return asyncio.run(work())


def journal(victim: Victim) -> Path:
    """Give the entry of the victim's job."""
    return victim.directory / "jobs" / f"{victim.domid}.json"


def rewrite(victim: Victim, **fields: Any) -> None:
    """Change fields of the entry."""
    path = journal(victim)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def left(victim: Victim, folder: Path) -> list[str]:
    """Give what is left of jobs: entries, locks, partial and state files."""
    paths = [
        *(victim.directory / "jobs").iterdir(),
        *victim.directory.glob("qemu-save.*"),
        *folder.glob("*.partial"),
    ]
    return [path.name for path in paths]
