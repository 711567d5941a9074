"""A restore is cancelled, or loses its helper, at every kind of message."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from libxlpy import Context, GuestState, Job, RestoreResult
from libxlpy.errors import Cancelled, HelperCrashed, JobError
from libxlpy.simxen.client import request
from tests.fault.saboteur import Act, Saboteur
from tests.fault.sweep import DEADLINES, kinds, long
from tests.fault.victim import Victim


def kill(job: Job[Any]) -> None:
    assert job.helper_pid is not None
    os.kill(job.helper_pid, signal.SIGKILL)


def cancel(job: Job[Any]) -> None:
    job.request_cancel("swept")


ACTS: dict[str, tuple[Act, type[JobError]]] = {
    "cancel": (cancel, Cancelled),
    "kill": (kill, HelperCrashed),
}
#: The helper's work is done: a cancel is too late, and a kill may be.
DONE = {"<Complete", ">Release"}


async def image_of(victim: Victim, path: Path) -> bytes:
    """Save a domain; give its configuration."""
    async with Context("simxen", victim.directory, DEADLINES) as ctx:
        config = await ctx.retrieve_config(victim.domid)
        with path.open("wb") as file:
            await (await ctx.domain_suspend(victim.domid, file.fileno()))
        await ctx.domain_resume(victim.domid)
    return config


async def restore(
    victim: Victim, path: Path, config: bytes, saboteur: Saboteur
) -> RestoreResult | JobError:
    """Restore to a second domain; one that comes up is destroyed again."""
    async with Context("simxen", victim.directory, DEADLINES) as ctx:
        ctx._observer = saboteur
        with path.open("rb") as file:
            job = await ctx.domain_restore(file.fileno(), config=config, name="copy")
            saboteur.job = job  # type: ignore[assignment]
            try:
                result = await job
            except JobError as exc:
                return exc
        await ctx.domain_destroy(result.domid)
        return result


def domids(victim: Victim) -> set[int]:
    return {each["domid"] for each in request(victim.directory, "list")["domains"]}


@long
@pytest.mark.parametrize("name", ACTS)
def test_restore_attacked_at_every_kind_of_message(victim, tmp_path, name):
    act, expected = ACTS[name]
    path = tmp_path / "image"
    config = asyncio.run(image_of(victim, path))
    watcher = Saboteur(-1)
    before = domids(victim)
    outcome = asyncio.run(restore(victim, path, config, watcher))
    assert isinstance(outcome, RestoreResult), outcome
    for place in kinds(watcher.trace):
        saboteur = Saboteur(watcher.trace[place], act)
        outcome = asyncio.run(restore(victim, path, config, saboteur))
        context = f"{name} at {saboteur.struck}: {outcome}"
        assert saboteur.struck == watcher.trace[place], context
        assert domids(victim) == before, context
        if isinstance(outcome, RestoreResult):
            assert saboteur.struck in DONE, context
            continue
        assert isinstance(outcome, expected), context
        assert outcome.guest is GuestState.GONE, context
    victim.assert_unharmed(name)
