"""Run a live save again and again, with the fault at the next message each time."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from libxlpy import Context, Deadlines, GuestState, Job, SuspendFlags
from libxlpy.errors import JobError
from libxlpy.files import SaveFile
from libxlpy.helper_process import helper_argv
from libxlpy.link import Surroundings
from libxlpy.results import SaveResult
from libxlpy_protocol.messages import Complete, Message
from tests.fault.victim import Victim

OLD = b"the old file"
LIAR = Path(__file__).with_name("lying_helper.py")
#: Bounds short enough that a silent helper is noticed within the test.
DEADLINES = Deadlines(heartbeat=1.5, abort_grace=1.5, term_grace=1.0)


@dataclass
class Saboteur:
    """Counts the messages of a job and strikes at the ``at``-th."""

    at: int
    strike: Callable[[int], None]
    job: Job[SaveResult] | None = None
    trace: list[str] = field(default_factory=list)
    struck: str = ""
    over: bool = False

    def __call__(self, direction: str, message: Message) -> None:
        """See one message; those before and after the job's own don't count."""
        pid = self.job.helper_pid if self.job is not None else None
        if pid is None or self.over:
            return
        name = f"{direction}{type(message).__name__}"
        if not self.trace and name != "<Hello":
            return  # the helper that looked at the domain is still leaving
        if len(self.trace) == self.at:
            self.struck = f"{name} ({self.at})"
            self.strike(pid)
        self.trace.append(name)
        self.over = bool(self.struck) or isinstance(message, Complete)


class LyingContext(Context):
    """A context whose jobs, not their repairs, are done by a helper that lies."""

    lie = ""
    at = 0

    def _begin(self, plan: Any, stream: Any, around: Surroundings, claim: Any) -> Any:
        own = helper_argv(self.backend)
        module = own.index("-m")
        lie = [str(LIAR), self.lie, str(self.at)]
        argv = [*own[:module], *lie, *own[module + 2 :]]
        around = replace(around, argv=lambda backend: argv)
        return super()._begin(plan, stream, around, claim)


async def live_save(
    ctx: Context, victim: Victim, path: Path, saboteur: Saboteur | None = None
) -> SaveResult | JobError:
    """Save to a file that is there already; give the outcome."""
    with SaveFile(path, b"head") as file:
        job = await ctx.domain_suspend(victim.domid, file.fd, SuspendFlags.LIVE)
        if saboteur is not None:
            saboteur.job = job
        try:
            result = await job
        except JobError as exc:
            return exc
        file.commit()
    await ctx.domain_resume(victim.domid)
    return result


def trace_of(victim: Victim, path: Path) -> list[str]:
    """Give the messages of an undisturbed live save, as "<Log", ">Answer", ..."""
    watcher = Saboteur(-1, lambda pid: None)
    outcome = asyncio.run(_one(victim, path, watcher))
    assert isinstance(outcome, SaveResult), outcome
    assert {"<Suspend", ">Answer", "<Progress", "<Complete"} <= set(watcher.trace)
    return watcher.trace


def kinds(trace: list[str]) -> list[int]:
    """Give the places where a message of a new kind comes, and the last place."""
    firsts = {name: place for place, name in reversed(list(enumerate(trace)))}
    return sorted({*firsts.values(), len(trace) - 1})


def sweep(
    victim: Victim, path: Path, strike: Callable[[int], None], *, every: bool = False
) -> Iterator[tuple[str, SaveResult | JobError]]:
    """Strike at every message of the trace in turn, or once at every kind of message.

    After each: the guest runs, nothing logs, the old file is as it was.
    """
    trace = trace_of(victim, path)
    for at in range(len(trace)) if every else kinds(trace):
        path.write_bytes(OLD)
        saboteur = Saboteur(at, strike)
        outcome = asyncio.run(_one(victim, path, saboteur))
        # A run may have fewer log lines or heartbeats than the first had.
        context = saboteur.struck or f"no message {at} in this run"
        check(victim, path, outcome, context)
        if saboteur.struck:
            yield context, outcome


async def _one(victim: Victim, path: Path, saboteur: Saboteur) -> SaveResult | JobError:
    async with Context("simxen", victim.directory, DEADLINES) as ctx:
        ctx._observer = saboteur
        return await live_save(ctx, victim, path, saboteur)


def check(
    victim: Victim, path: Path, outcome: SaveResult | JobError, context: str
) -> None:
    """Check the promise after one run."""
    victim.assert_unharmed(context)
    assert not list(path.parent.glob("*.partial")), context
    if isinstance(outcome, SaveResult):
        assert path.read_bytes() != OLD, context
        return
    assert path.read_bytes() == OLD, context
    assert outcome.guest is GuestState.RUNNING, f"{context}: {outcome.report()}"
    assert str(outcome).count("\n") == 0


def sender(number: int) -> Callable[[int], None]:
    """Give a strike that sends a signal to the helper."""

    def strike(pid: int) -> None:
        os.kill(pid, number)

    return strike


long = pytest.mark.timeout(600)  # dozens of saves; the default is for one
