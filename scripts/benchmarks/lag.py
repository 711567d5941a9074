"""How late a loop comes back to a timer while something else is at work."""

import asyncio
import time
from collections.abc import Awaitable

PERIOD = 0.001


async def worst_lag(work: Awaitable[object]) -> float:
    """Do some work and give the worst lateness of a timer beside it, milliseconds."""
    done = asyncio.ensure_future(work)
    worst = 0.0
    while not done.done():
        due = time.perf_counter() + PERIOD
        await asyncio.sleep(PERIOD)
        worst = max(worst, time.perf_counter() - due)
    await done
    return worst * 1e3
