"""A toolstack that is killed, by itself, at the N-th message of a live save.

Run as ``python toolstack.py HOST DOMID FILE N``; exits 0 if the save has fewer.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from libxlpy import Context, SuspendFlags
from libxlpy.save_file import SaveFile
from libxlpy_protocol.messages import Release


async def main(host: str, domid: int, path: Path, at: int) -> None:
    """Save; die on the way."""
    seen = 0
    counting = False

    def observe(direction: str, message: object) -> None:
        nonlocal seen, counting
        if not counting:
            return  # before the job; or after it: the guest is the caller's again
        if seen == at:
            print(f"{direction}{type(message).__name__}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1
        counting = not isinstance(message, Release)

    async with Context("simxen", host) as ctx:
        ctx._observer = observe
        with SaveFile(path, b"head") as file:
            job = await ctx.domain_suspend(domid, file.fd, SuspendFlags.LIVE)
            counting = True
            await job
            counting = False
            file.commit()
        await ctx.domain_resume(domid)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    asyncio.run(
        main(arguments[0], int(arguments[1]), Path(arguments[2]), int(arguments[3]))
    )
