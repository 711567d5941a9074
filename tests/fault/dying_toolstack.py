"""A toolstack that dies or stops, by itself, where it is told to; or its helper, too.

Run as ``python dying_toolstack.py '{"host": ..., "domid": ..., "path": ...}'``; further
keys are ``at``, a message ("<Suspend"), its number in the job, or "saved" or
"committed"; ``helper``, a signal for the helper or 0; ``policy`` of OnParentLoss;
``signal``, if it is not killed; ``then``, "resume" or "destroy"; ``deadlines``.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from libxlpy import Context, Deadlines, Job, OnParentLoss, SuspendFlags
from libxlpy.save_file import SaveFile
from libxlpy_protocol.messages import Complete, Release


class DyingToolstack:
    """One live save, and its end."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.at = plan["at"]
        self.seen = 0
        self.job: Job[Any] | None = None
        self.complete = False
        self.over = False

    def die(self, what: str) -> None:
        """Kill the helper, if so told, and ourselves."""
        print(what, flush=True)
        pid = self.job.helper_pid if self.job is not None else None
        if self.plan.get("helper") and pid is not None:
            with contextlib.suppress(ProcessLookupError):  # the job is over
                os.kill(pid, self.plan["helper"])
        os.kill(os.getpid(), self.plan.get("signal", signal.SIGKILL))

    def observe(self, direction: str, message: object) -> None:
        """Count the messages of the job."""
        if self.job is None or self.over:
            return
        name = f"{direction}{type(message).__name__}"
        if self.complete and not isinstance(message, Release):
            self.over = True  # of another helper: that of the job stays as a guard
            return
        if self.at in (name, self.seen):
            self.die(name)
        self.seen += 1
        self.complete = isinstance(message, Complete)
        self.over = isinstance(message, Release)

    async def run(self) -> None:
        """Save; die on the way."""
        plan = self.plan
        policy = OnParentLoss[plan.get("policy", "ABORT_AND_RESUME")]
        deadlines = Deadlines(**plan.get("deadlines", {}))
        async with Context("simxen", plan["host"], deadlines) as ctx:
            ctx._observer = self.observe
            with SaveFile(Path(plan["path"]), b"") as file:
                self.job = await ctx.domain_suspend(
                    plan["domid"], file.fd, SuspendFlags.LIVE, on_parent_loss=policy
                )
                await self.job
                if self.at == "saved":
                    self.die("saved")
                file.commit()
                if self.at == "committed":
                    self.die("committed")
            if plan.get("then") == "destroy":
                await ctx.domain_destroy(plan["domid"])
            else:
                await ctx.domain_resume(plan["domid"])


if __name__ == "__main__":
    asyncio.run(DyingToolstack(json.loads(sys.argv[1])).run())
