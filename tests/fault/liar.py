"""The attack by lies: the job's helper sends something else instead of one frame."""

import re
import sys
import time
from pathlib import Path
from typing import Any

from libxlpy import Context, Deadlines, Job
from libxlpy.errors import JobError
from libxlpy.jobs.operation import Operation
from libxlpy.jobs.registry import Jobs
from tests.fault.lying_helper import STRUCK
from tests.fault.sweep import DEADLINES, Attack, Place, Strike, live_save
from tests.support.victim import Victim

LIAR = Path(__file__).with_name("lying_helper.py")
#: Where waiting for a lie's end takes long and any time will do.
QUICK = DEADLINES.replace(exit_after_complete=0.5)
HELLO = "<Hello"


class LyingJobs(Jobs):
    """Jobs, not their repairs, are done by a helper that lies."""

    def __init__(self, lie: str, place: Place) -> None:
        super().__init__()
        self._deadlines = deadlines(lie, place)
        self._lie = [str(LIAR), lie, str(place).lstrip("<")]

    async def start(self, operation: Operation[Any], fd: int) -> Job[Any]:
        """Start a job with the lying helper."""
        own = operation.argv()
        module = own.index("-m")
        argv = [sys.executable, "-I", *self._lie, *own[module + 2 :]]
        operation.argv = lambda: argv  # type: ignore[method-assign]
        operation.deadlines = self._deadlines
        return await super().start(operation, fd)


def lying(lie: str) -> Attack:
    """Give the attack."""

    async def attack(victim: Victim, path: Path, place: Place) -> Strike:
        began = time.monotonic()
        async with Context("simxen", victim.directory, DEADLINES) as ctx:
            ctx._jobs = LyingJobs(lie, place)
            outcome = await live_save(ctx, victim, path)
        details = outcome.details if isinstance(outcome, JobError) else outcome.report
        found = re.search(rf"^{STRUCK}(\w+)$", details.stderr_tail, re.MULTILINE)
        what = f"<{found[1]}" if found else ""
        context = f"{lie} for {what or 'no message'} ({place}): {outcome}"
        seconds = time.monotonic() - began
        late = what == "<Complete"
        return Strike(what, what == HELLO, late, seconds, outcome, context)

    return attack


def deadlines(lie: str, place: Place) -> Deadlines:
    """Give the bounds of the job; its repair has the context's."""
    if lie == "half" and place in {0, HELLO}:
        return DEADLINES.replace(hello=4.0)
    return QUICK if lie == "eof" else DEADLINES
