"""A primary that can be killed: ``python primary.py DOMID CONTROL STREAM``.

CONTROL and STREAM are descriptors that it has.
"""

import asyncio
import sys

from libxlpy import Context, Deadlines
from libxlpy.migration.channel import Channel
from libxlpy.remus.info import RemusInfo
from libxlpy.remus.primary import Protect

PATIENCE = 600.0  # as in support, which is not for a program on its own
INFO = RemusInfo(200, colo=False)
SLOW = Deadlines(
    suspend_ack=PATIENCE,
    suspend=PATIENCE,
    qemu=PATIENCE,
    peer_silent=PATIENCE,
    peer_answer=PATIENCE,
)


async def main(domid: int, control: int, stream: int) -> None:
    async def connect(_landing: str) -> int:
        return stream

    async with Context("xen", deadlines=SLOW) as ctx:
        protect = Protect(ctx._env(), domid, Channel(control, control), connect, INFO)
        await (await ctx._jobs.start(protect, control))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
