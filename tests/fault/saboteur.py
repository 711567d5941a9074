"""The attacks as the parent sees one message: a signal to the helper, a cancel."""

import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any

from libxlpy import Context, GuestState, Job
from libxlpy.errors import JobError
from libxlpy.results.of_jobs import SaveResult
from libxlpy_protocol.messages import Message, Release
from libxlpy_protocol.table import CALLS
from tests.fault.sweep import DEADLINES, Attack, Place, Strike, live_save
from tests.support.victim import Victim

Act = Callable[[Job[Any]], None]
ANSWER = ">Answer"
#: What is called, and the answers.
CALLED = {f"<{kind.__name__}" for kind in CALLS} | {ANSWER}
#: Runs one save to the end, disturbed by a saboteur.
Run = Callable[[Victim, Path, "Saboteur"], Coroutine[Any, Any, SaveResult | JobError]]


@dataclass
class Saboteur:
    """Counts the messages of a job and strikes at one of them.

    The last is Complete, or Release if that follows: not if the helper is a guard then.
    """

    at: Place
    act: Act | None = None
    job: Job[Any] | None = None
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
        if self.trace[-1:] == ["<Complete"] and name != ">Release":
            self.over = True  # of another helper
            return
        if self.act is not None and self.at in {len(self.trace), name}:
            self.struck, self.struck_at = name, time.monotonic()
            assert self.job is not None
            self.act(self.job)
        self.trace.append(name)
        self.over = bool(self.struck) or isinstance(message, Release)

    def started(self, job: Job[Any]) -> None:
        """Take the job."""
        self.job = job


async def live(victim: Victim, path: Path, saboteur: Saboteur) -> SaveResult | JobError:
    """Run a live save as ``domain_suspend`` does it."""
    async with Context("simxen", victim.directory, DEADLINES) as ctx:
        ctx._observer = saboteur
        return await live_save(ctx, victim, path, saboteur.started)


async def trace_of(victim: Victim, path: Path, run: Run = live) -> list[str]:
    """Give the messages of an undisturbed save, as "<Log", ">Answer", ..."""
    watcher = Saboteur(-1)
    outcome = await run(victim, path, watcher)
    assert isinstance(outcome, SaveResult), outcome
    assert {"<Suspend", ">Answer", "<Progress", "<Complete"} <= set(watcher.trace)
    return watcher.trace


def kill(number: Signals = SIGKILL) -> Act:
    """Give what sends a signal to the helper."""

    def act(job: Job[Any]) -> None:
        assert job.helper_pid is not None
        os.kill(job.helper_pid, number)

    return act


def cancel(job: Job[Any]) -> None:
    """Cancel the job."""
    job.request_cancel("swept")


def signalled(number: Signals, trace: list[str]) -> Attack:
    """Give the attack by a signal; ``trace`` is of a save without it."""
    return attack(number.name, kill(number), trace)


def cancelled(trace: list[str]) -> Attack:
    """Give the attack by a cancel; ``trace`` is of a save without it."""
    return attack("cancel", cancel, trace)


def last_call(trace: list[str]) -> tuple[str, int]:
    """Give the last call that was answered, and how many of its kind there were.

    How often it is asked how to go on depends on how many passes there are.
    """
    answered = [
        call[1:]
        for call, answer in pairwise(each for each in trace if each in CALLED)
        if answer == ANSWER != call
    ]
    last = answered[-1] if answered else ""
    return last, answered.count(last)


def attack(
    name: str,
    act: Act,
    trace: list[str],
    run: Run = live,
    left: tuple[GuestState, ...] = (GuestState.RUNNING,),
) -> Attack:
    """Give the attack that acts at one message of a save."""

    async def attacked(victim: Victim, path: Path, place: Place) -> Strike:
        saboteur = Saboteur(place, act)
        outcome = await run(victim, path, saboteur)
        seconds = time.monotonic() - saboteur.struck_at if saboteur.struck else 0.0
        early = "<Phase" not in saboteur.trace
        late = last_call(saboteur.trace) == last_call(trace)
        context = f"{name} at {saboteur.struck or 'no message'} ({place})"
        return Strike(saboteur.struck, early, late, seconds, outcome, context, left)

    return attacked
