"""One end of a migration that dies, stops, or gives up at a phase of its job.

Run as ``python dying_migration.py '{"role": "send", "host": ..., "fds": [...]}'``; the
second descriptor is for the stream in our own handshake. Further keys are ``domid`` of
what is sent, ``at``, the phase to die in, and ``who`` does: "self", "helper", or "job",
which is cancelled; ``signal``, if not SIGKILL; ``deadlines``. Prints how it ended.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import Any

from libxlpy import (
    Context,
    Deadlines,
    Job,
    JobError,
    JobEvent,
    LibxlpyError,
    PhaseEvent,
)


class Dying:
    """One end."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.job: Job[Any] | None = None

    def look(self, event: JobEvent) -> None:
        """Die if it is time to."""
        if not isinstance(event, PhaseEvent) or event.name != self.plan.get("at"):
            return
        assert self.job is not None
        if self.plan["who"] == "job":
            self.job.request_cancel()
            return
        pid = os.getpid() if self.plan["who"] == "self" else self.job.helper_pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or os.getpid(), self.plan.get("signal", signal.SIGKILL))

    async def run(self) -> str:
        """Migrate; give how it ended."""
        plan = self.plan
        fd, *streams = plan["fds"]
        stream = streams[0] if streams else None

        async def connect(_: str) -> int:
            assert stream is not None
            return stream

        deadlines = Deadlines(**plan.get("deadlines", {}))
        async with Context("simxen", plan["host"], deadlines) as ctx:
            try:
                if plan["role"] == "send":
                    self.job = await ctx.domain_migrate(
                        plan["domid"], fd, fd, connect=connect if streams else None
                    )
                else:
                    self.job = await ctx.domain_receive(fd, fd, stream=stream)
                self.job.listen(self.look)
                await self.job
            except JobError as exc:
                return f"{type(exc).__name__}: {exc}"
            except LibxlpyError as exc:
                return f"refused: {exc}"
        return "good"


if __name__ == "__main__":
    print(asyncio.run(Dying(json.loads(sys.argv[1])).run()))
