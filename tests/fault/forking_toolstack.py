"""A toolstack that forks while the guest is suspended for its save.

Run as ``python forking_toolstack.py HOST DOMID PATH CHILD``; CHILD is a function below,
what the child does. It writes what it has seen to the file PATH.child. The parent waits
for it, then for the save, and lets the guest run; with "stay" all but the child die.
"""

import asyncio
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

from libxlpy import Context, Job, LibxlpyError, SaveResult
from libxlpy.save_file import SaveFile
from tests.support.processes import living_descendants

warnings.simplefilter("ignore")  # threads and fork: that is what is tried
AnyJob = Job[SaveResult]


class Children:
    """What a child does, by name."""

    @staticmethod
    async def leave(ctx: Context, job: AnyJob, told: Path) -> NoReturn:
        sys.exit(3)

    @staticmethod
    async def fail(ctx: Context, job: AnyJob, told: Path) -> NoReturn:
        raise ValueError("of the child")

    @staticmethod
    async def go_on(ctx: Context, job: AnyJob, told: Path) -> None:
        """Be as the parent: wait for the job, put the file in its place ..."""

    @staticmethod
    async def use(ctx: Context, job: AnyJob, told: Path) -> NoReturn:
        """Use what is the parent's, then what is its own, by a loop of its own."""
        asyncio.run(Children._use(ctx, job, told, sys.argv[1]))
        os._exit(0)

    @staticmethod
    async def _use(ctx: Context, job: AnyJob, told: Path, host: str) -> None:
        async def awaited() -> None:
            await job

        async def asked_to_end() -> None:
            job.request_cancel()

        seen = []
        for work in (
            lambda: ctx.domain_destroy(job.domid),
            lambda: ctx.domain_resume(job.domid),
            lambda: ctx.domain_pause(job.domid),
            lambda: ctx.domain_suspend(job.domid, 1),
            lambda: ctx.abort_job(job.name),
            ctx.recover,
            awaited,
            asked_to_end,
            job.cancel,
            job.close,
        ):
            try:
                await work()
            except LibxlpyError as exc:
                seen.append(type(exc).__name__)
        async with Context("simxen", host) as own:
            seen += [str(len(await own.recover())), str(len(await own.list_jobs()))]
        told.write_text(" ".join(seen))

    @staticmethod
    async def stay(ctx: Context, job: AnyJob, told: Path) -> NoReturn:
        for fd in (1, 2):  # whoever reads them waits for all that have them
            os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
        told.write_text(str(os.getpid()))
        signal.pause()
        os._exit(0)


async def main(host: str, domid: int, path: Path, child: str) -> None:
    told = path.with_name(path.name + ".child")
    async with Context("simxen", host) as ctx:
        async with await SaveFile.when_free(path, b"") as file:
            job = await ctx.domain_suspend(domid, file.fd)
            async for event in job.events():
                if getattr(event, "name", "") != "suspended":
                    continue
                pid = os.fork()
                if not pid:
                    await getattr(Children, child)(ctx, job, told)
                elif child == "stay":
                    die(told)
                else:
                    await ended(pid)
            await job
            await file.put_in_place()
        await ctx.domain_resume(domid)


def die(told: Path) -> NoReturn:
    """Kill the helpers, then ourselves, once the child has told its pid."""
    while not (told.exists() and told.read_text()):
        pass
    worker = int(told.read_text())
    for each in living_descendants():
        if each.pid != worker:
            each.kill()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


async def ended(pid: int) -> None:
    """Wait for the child; what it has left of the loop must wake us."""
    status = await asyncio.to_thread(os.waitpid, pid, 0)
    print(os.waitstatus_to_exitcode(status[1]), flush=True)


def run(*arguments: Any) -> None:
    host, domid, path, child = arguments
    asyncio.run(main(host, int(domid), Path(path), child))


if __name__ == "__main__":
    run(*sys.argv[1:])
