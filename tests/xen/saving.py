"""A save by the API, in this process, as a toolstack daemon does it."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from libxlpy import Context, Deadlines, JobError, PhaseEvent


def failure_of_save(
    domid: int, deadlines: Deadlines, when_asked: Callable[[], None] = lambda: None
) -> JobError:
    """Save a guest that never suspends; give the error.

    Args:
        domid: Of the guest.
        deadlines: How long it is waited for.
        when_asked: Called in a thread once the guest is about to be asked.
    """
    return asyncio.run(_failure(domid, deadlines, when_asked))


async def _failure(
    domid: int, deadlines: Deadlines, when_asked: Callable[[], None]
) -> JobError:
    async with Context(deadlines=deadlines) as ctx:
        with Path(os.devnull).open("wb") as stream:
            job = await ctx.domain_suspend(domid, stream.fileno())
            async for event in job.events():
                if isinstance(event, PhaseEvent) and event.name == "suspend":
                    await asyncio.to_thread(when_asked)
            await job.ended()
    assert job.error is not None
    return job.error
