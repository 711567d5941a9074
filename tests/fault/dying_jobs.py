"""Jobs other than a save whose process is killed in the middle, its helper maybe, too.

Run as ``python dying_jobs.py save HOST FILE DOMID``, or ``restore HOST FILE MESSAGE``;
followed by ``alone`` if the helper is to be left alive.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from libxlpy import Context, Job, SaveCallbacks, SuspendFlags


class Dying:
    """One job, and its end."""

    job: Job[Any] | None = None
    at = ""
    alone = False

    def die(self) -> None:
        """Kill the helper, if so told, and ourselves."""
        assert self.job is not None
        pid = self.job.helper_pid
        if pid is not None and not self.alone:
            os.kill(pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    def observe(self, direction: str, message: object) -> None:
        """Die at a message."""
        if self.job is not None and f"{direction}{type(message).__name__}" == self.at:
            self.die()

    async def logdirty(self, domid: int, enable: bool) -> int:
        """Answer libxenguest."""
        return 0

    async def suspend(self) -> int:
        """Die while log-dirty mode is on."""
        self.die()
        return 0

    async def save(self, ctx: Context, path: Path, domid: int) -> None:
        """Save with callbacks of our own."""
        callbacks = SaveCallbacks(
            suspend=self.suspend, switch_qemu_logdirty=self.logdirty
        )
        with path.open("wb") as file:
            self.job = await ctx.xc_domain_save(
                domid, file.fileno(), callbacks, SuspendFlags.LIVE
            )
            await self.job

    async def restore(self, ctx: Context, path: Path, at: str) -> None:
        """Restore a PV domain."""
        self.at = at
        config = (
            b'{"c_info": {"name": "back", "type": "pv"}, "b_info": {"max_memkb": 4096}}'
        )
        with path.open("rb") as file:
            self.job = await ctx.domain_restore(file.fileno(), config=config)
            await self.job


async def main(what: str, host: str, path: str, argument: str, *how: str) -> None:
    """Run one job."""
    dying = Dying()
    dying.alone = "alone" in how
    async with Context("simxen", host) as ctx:
        ctx._observer = dying.observe
        if what == "save":
            await dying.save(ctx, Path(path), int(argument))
        else:
            await dying.restore(ctx, Path(path), argument)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
