"""A backup that dies without a word: ``python dying_backup.py HOST CONTROL STREAM N``.

It does once it holds N epochs; CONTROL and STREAM are descriptors that it has.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from libxlpy import Context
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.domain.toolstack_simxen import SimxenToolstack
from libxlpy.migration.announced import announced
from libxlpy.migration.channel import Channel
from libxlpy.migration.hooks import Hooks
from libxlpy.remus.backup import SimxenBackup
from libxlpy.remus.fence import Lost, Primary


class Dying(SimxenBackup):
    """One that does."""

    epochs: int

    async def answer(self, *call: object) -> object:  # type: ignore[override]
        answer = await super().answer(*call)  # type: ignore[arg-type]
        if self.held == self.epochs:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


async def gone(lost: Lost) -> Primary:
    return Primary.GONE


async def main(host: str, control: int, stream: int, epochs: int) -> None:
    async with Context(host=Path(host)) as ctx:
        env, channel = ctx._env(), Channel(control, control)
        toolstack = toolstack_of(env)
        assert isinstance(toolstack, SimxenToolstack)
        async with announced(
            env, channel, stream, paused=False, monitor=False, held=True
        ) as domain:
            hooks = Hooks(env, None, "receive")
            backup = Dying(env, toolstack, domain.wanted())
            backup.hold(domain, hooks, gone)
            backup.epochs = epochs
            job = await ctx._jobs.start(backup, control)
        await job


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
