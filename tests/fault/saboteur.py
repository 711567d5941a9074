"""The attacks as the parent sees one message: a signal to the helper, a cancel."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from libxlpy import Context, Job
from libxlpy.errors import JobError
from libxlpy.results import SaveResult
from libxlpy_protocol.messages import Message, Release
from tests.fault.sweep import DEADLINES, Attack, Place, Strike, live_save
from tests.fault.victim import Victim

Act = Callable[[Job[SaveResult]], None]


@dataclass
class Saboteur:
    """Counts the messages of a job and strikes at one of them, the last is Release."""

    at: Place
    act: Act | None = None
    job: Job[SaveResult] | None = None
    trace: list[str] = field(default_factory=list)
    struck: str = ""
    struck_at: float = 0.0
    over: bool = False

    def __call__(self, direction: str, message: Message) -> None:
        """See one message; those before and after the job's own don't count."""
        pid = self.job.helper_pid if self.job is not None else None
        if pid is None or self.over:
            return
        name = f"{direction}{type(message).__name__}"
        if not self.trace and name != "<Hello":
            return  # the helper that looked at the domain is still leaving
        if self.act is not None and self.at in {len(self.trace), name}:
            self.struck, self.struck_at = name, time.monotonic()
            assert self.job is not None
            self.act(self.job)
        self.trace.append(name)
        self.over = bool(self.struck) or isinstance(message, Release)

    def started(self, job: Job[SaveResult]) -> None:
        """Take the job."""
        self.job = job


async def trace_of(victim: Victim, path: Path) -> list[str]:
    """Give the messages of an undisturbed live save, as "<Log", ">Answer", ..."""
    watcher = Saboteur(-1)
    outcome = await _save(victim, path, watcher)
    assert isinstance(outcome, SaveResult), outcome
    assert {"<Suspend", ">Answer", "<Progress", "<Complete"} <= set(watcher.trace)
    return watcher.trace


def signalled(number: Signals, trace: list[str]) -> Attack:
    """Give the attack by a signal; ``trace`` is of a save without it."""

    def act(job: Job[SaveResult]) -> None:
        assert job.helper_pid is not None
        os.kill(job.helper_pid, number)

    return _attack(number.name, act, trace)


def cancelled(trace: list[str]) -> Attack:
    """Give the attack by a cancel; ``trace`` is of a save without it."""
    return _attack("cancel", lambda job: job.request_cancel("swept"), trace)


def _attack(name: str, act: Act, trace: list[str]) -> Attack:
    async def attack(victim: Victim, path: Path, place: Place) -> Strike:
        saboteur = Saboteur(place, act)
        outcome = await _save(victim, path, saboteur)
        seconds = time.monotonic() - saboteur.struck_at if saboteur.struck else 0.0
        early = "<Phase" not in saboteur.trace
        late = saboteur.trace.count(">Answer") == trace.count(">Answer")
        context = f"{name} at {saboteur.struck or 'no message'} ({place})"
        return Strike(saboteur.struck, early, late, seconds, outcome, context)

    return attack


async def _save(
    victim: Victim, path: Path, saboteur: Saboteur
) -> SaveResult | JobError:
    async with Context("simxen", victim.directory, DEADLINES) as ctx:
        ctx._observer = saboteur
        return await live_save(ctx, victim, path, saboteur.started)
