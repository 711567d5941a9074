"""Run a live save again and again, with the fault at the next message each time.

An attack runs one save and strikes at one place: the N-th message, or the first of a
name. A sweep tries all places, several victims at once, and checks the promise after
each: the guest runs, nothing logs, the old file is as it was, all in bounded time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from libxlpy import Context, Deadlines, GuestState, Job, SuspendFlags
from libxlpy.errors import JobError
from libxlpy.results.of_jobs import SaveResult
from libxlpy.save_file import SaveFile
from tests.support.victim import Victim

OLD = b"the old file"
#: Bounds short enough that a silent helper is noticed within the test.
DEADLINES = Deadlines(heartbeat=1.5, abort_grace=1.5, term_grace=1.0)
#: What may be waited for after a strike, each once.
AFTER = (
    *("heartbeat", "exit_after_complete", "abort_grace", "term_grace", "kill_grace"),
    *("repair_watch", "repair", "qemu", "xenstore", "domain_op"),
)

#: Number of a message, or its name with the direction before it.
Place = int | str


@dataclass(frozen=True)
class Strike:
    """One save with one fault."""

    #: Message it happened at, as "<Suspend"; "" if the save had fewer.
    what: str
    #: The helper had not shown yet that it has a job.
    early: bool
    #: The last callback was answered: only the helper's verdict was still to come.
    late: bool
    #: Seconds from the strike, or the start if only the helper knows, until the end.
    seconds: float
    outcome: SaveResult | JobError
    context: str
    #: Where the job may say that the guest is, after a failure.
    left: tuple[GuestState, ...] = (GuestState.RUNNING,)


Attack = Callable[[Victim, Path, Place], Awaitable[Strike]]


async def live_save(
    ctx: Context,
    victim: Victim,
    path: Path,
    started: Callable[[Job[SaveResult]], None] = lambda job: None,
) -> SaveResult | JobError:
    """Save to a file that is there already; give the outcome."""
    with await SaveFile.when_free(path, b"head") as file:
        job = await ctx.domain_suspend(victim.domid, file.fd, SuspendFlags.LIVE)
        started(job)
        try:
            result = await job
        except JobError as exc:
            return exc
        file.commit()
    await ctx.domain_resume(victim.domid)
    return result


def kinds(trace: list[str]) -> list[int]:
    """Give the places where a message of a new kind comes, and the last place."""
    firsts = {name: place for place, name in reversed(list(enumerate(trace)))}
    return sorted({*firsts.values(), len(trace) - 1})


def sweep(
    victims: list[Victim],
    folder: Path,
    attack: Attack,
    trace: list[str],
    *,
    every: bool = True,
) -> list[Strike]:
    """Strike at every message of a trace in turn, and check the promise after each.

    Args:
        victims: Are attacked at the same time.
        folder: For their images.
        attack: Runs one save and strikes.
        trace: Of a save without a fault.
        every: False strikes at each kind of message once.

    Returns:
        All strikes; every kind of message is among them.
    """
    places: list[Place] = [*(range(len(trace)) if every else kinds(trace))]
    strikes = _at(victims, folder, attack, places)
    hits = [strike for strike in strikes if strike.what]
    # A run may have fewer log lines or heartbeats than the first had.
    assert len(strikes) - len(hits) <= len(trace) // 4, [s.context for s in strikes]
    missing = sorted(set(trace) - {strike.what for strike in hits})
    named = _at(victims, folder, attack, missing)
    assert [strike.what for strike in named] == missing
    return hits + named


def _at(
    victims: list[Victim], folder: Path, attack: Attack, places: list[Place]
) -> list[Strike]:
    strikes = []
    for first in range(0, len(places), len(victims)):
        turns = [
            (victim, folder / str(victim.domid), place)
            for victim, place in zip(victims, places[first:], strict=False)
        ]
        some = asyncio.run(_together(attack, turns))
        for (victim, path, _), strike in zip(turns, some, strict=True):
            check(victim, path, strike)
        strikes += some
    return strikes


async def _together(
    attack: Attack, turns: list[tuple[Victim, Path, Place]]
) -> list[Strike]:
    for _, path, _ in turns:
        path.write_bytes(OLD)
    return await asyncio.gather(*(attack(*turn) for turn in turns))


def check(victim: Victim, path: Path, strike: Strike) -> None:
    """Check the promise after one run."""
    context, outcome = strike.context, strike.outcome
    victim.assert_unharmed(context)
    assert not list(path.parent.glob("*.partial")), context
    if isinstance(outcome, SaveResult):
        assert path.read_bytes() != OLD, context
        return
    assert strike.what, f"failed without a strike, {context}: {outcome.report()}"
    assert path.read_bytes() == OLD, context
    assert outcome.guest in strike.left, f"{context}: {outcome.report()}"
    assert str(outcome).count("\n") == 0
    bound = sum(getattr(DEADLINES, name) for name in AFTER)
    assert strike.seconds <= bound, f"{context}: {outcome.report()}"


long = pytest.mark.timeout(600)  # dozens of saves; the default is for one
