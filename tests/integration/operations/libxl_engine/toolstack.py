"""A toolstack that is killed, by itself, at the N-th message of a live save.

Run as ``python toolstack.py HOST DOMID HELPER N``; exits 0 if the save has fewer.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from libxlpy import Context, SuspendFlags
from libxlpy_protocol.messages import Release, SaveLibxc


async def main(host: str, domid: int, helper: str, at: int) -> None:
    """Save; die on the way, once Xen's helper is there."""
    seen = 0
    counting = False

    def observe(direction: str, message: object) -> None:
        nonlocal seen, counting
        if counting and seen == at:
            print(f"{direction}{type(message).__name__}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        seen += counting
        starts = isinstance(message, SaveLibxc)
        counting = (counting or starts) and not isinstance(message, Release)

    async with Context("simxen", host, helper=helper) as ctx:
        ctx._observer = observe
        with Path("/dev/null").open("wb") as null:
            job = await ctx.domain_suspend(domid, null.fileno(), SuspendFlags.LIVE)
            await job
        await ctx.domain_resume(domid)


if __name__ == "__main__":
    words = sys.argv[1:]
    asyncio.run(main(words[0], int(words[1]), words[2], int(words[3])))
