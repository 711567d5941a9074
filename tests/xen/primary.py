"""A primary that can be killed: ``python primary.py DOMID CONTROL STREAM``.

CONTROL and STREAM are descriptors that it has.
"""

import asyncio
import sys

from libxlpy import Context, Deadlines
from libxlpy.remus.host import BackupHost
from libxlpy.remus.info import RemusInfo

PATIENCE = 600.0  # as in support, which is not for a program on its own
INFO = RemusInfo(200)
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
        host = BackupHost(connect=connect)
        await (await ctx.domain_remus_start(domid, INFO, control, control, host))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
