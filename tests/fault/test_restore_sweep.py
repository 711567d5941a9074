"""A restore, raw or not, is cancelled or loses its helper at every kind of message."""

import asyncio
from pathlib import Path

import pytest

from libxlpy import GuestState, RestoreResult
from libxlpy.errors import Cancelled, HelperCrashed, JobError
from tests.fault.raw import raw_restore, raw_save
from tests.fault.restoring import domids, image_of, restore
from tests.fault.saboteur import Act, Saboteur, cancel, kill
from tests.fault.sweep import kinds, long
from tests.support.victim import Victim

ACTS: dict[str, tuple[Act, type[JobError]]] = {
    "cancel": (cancel, Cancelled),
    "kill": (kill(), HelperCrashed),
}
#: The helper's work is done: a cancel is too late, and a kill may be.
DONE = {"<Complete", ">Release"}


async def raw_image_of(victim: Victim, path: Path) -> bytes:
    """Save a domain's memory; there is no configuration with it."""
    outcome = await raw_save(victim, path, Saboteur(-1))
    assert not isinstance(outcome, JobError), outcome
    return b""


#: How the image is made, how it is restored, where the guest is after a failure.
KINDS = {
    "restore": (image_of, restore, GuestState.GONE),
    "raw": (raw_image_of, raw_restore, GuestState.PAUSED),
}


@long
@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("kind", KINDS)
def test_restore_attacked_at_every_kind_of_message(victim, tmp_path, kind, name):
    act, expected = ACTS[name]
    make, run, left = KINDS[kind]
    path = tmp_path / "image"
    config = asyncio.run(make(victim, path))
    watcher = Saboteur(-1)
    before = domids(victim)
    outcome = asyncio.run(run(victim, path, config, watcher))
    assert isinstance(outcome, RestoreResult), outcome
    for place in kinds(watcher.trace):
        saboteur = Saboteur(watcher.trace[place], act)
        outcome = asyncio.run(run(victim, path, config, saboteur))
        context = f"{name} at {saboteur.struck}: {outcome}"
        assert saboteur.struck == watcher.trace[place], context
        assert domids(victim) == before, context
        if isinstance(outcome, RestoreResult):
            assert saboteur.struck in DONE, context
            continue
        assert isinstance(outcome, expected), context
        assert outcome.guest is left, context
    victim.assert_unharmed(name)
