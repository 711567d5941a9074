"""A domain's image, restored to a second domain under fault."""

from pathlib import Path

from libxlpy import Context, RestoreResult
from libxlpy.errors import JobError
from libxlpy.simxen.client import request
from tests.fault.saboteur import Saboteur
from tests.fault.sweep import DEADLINES
from tests.support.victim import Victim


def domids(victim: Victim) -> set[int]:
    return {each["domid"] for each in request(victim.directory, "list")["domains"]}


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
            saboteur.started(job)
            try:
                result = await job
            except JobError as exc:
                return exc
        await ctx.domain_destroy(result.domid)
        return result
