"""The jobs of one context: started, found to be in the way, cancelled at the end."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from libxlpy.domain import hypercalls
from libxlpy.errors import UsageError
from libxlpy.jobs.job import Job
from libxlpy.jobs.operation import Plan, Result
from libxlpy.jobs.stream_fd import Identity, StreamFd
from libxlpy.jobs.watchers import Watchers
from libxlpy.journal import Folder, Stream
from libxlpy.logs import JobLog
from libxlpy.ops import ops_helper
from libxlpy.process.environment import Environment
from libxlpy.process.link import finish
from libxlpy.recovery.claim import Claim, forget
from libxlpy_protocol.errors import LibxlpyError


class Jobs:
    """Jobs under way, at most one for each domain."""

    def __init__(self) -> None:
        self.watchers = Watchers(JobLog())
        self._jobs: dict[int, Job[Any]] = {}
        self._streams: set[Identity] = set()
        self._closed = False
        #: Domid -> job and folder, of saves whose guest is now the caller's.
        self._handed_over: dict[int, tuple[str, Folder]] = {}

    async def begin(
        self, plan: Plan[Result], stream: StreamFd, env: Environment, claim: Claim
    ) -> Job[Result]:
        """Start a job; it keeps the claim on its domain until it has ended.

        Raises:
            UsageError: Another job uses the stream, or the context was left.
            BackendError: It can't be written down.
        """
        domid = claim.domid
        try:
            plan.uuid = plan.uuid or await uuid_of(env, domid)
            identity = self._check(stream)
            name = claim.begin(plan, Stream.of(stream.fd), plan.uuid)
        except BaseException:
            stream.close()
            raise
        self._streams |= identity

        def ended(good: bool) -> None:
            del self._jobs[domid]
            env.ops.let_go()
            self._streams -= identity
            if good and plan.leaves_suspended:
                claim.hand_over()
                folder = Folder(env.backend.jobs_dir)
                self._handed_over[domid] = (name, folder)
            else:
                claim.close()
            told.ended()

        job = Job(plan, stream, env, ended, claim.note, name)
        self._jobs[domid] = job
        env.ops.hold()
        told = self.watchers.began(job)
        job.when_undone(told.undone)
        return job

    def _check(self, stream: StreamFd) -> set[Identity]:
        """Give what tells one stream from another; nothing for /dev/null and such."""
        if self._closed:
            raise UsageError("context was left: enter a new one")
        identity = stream.identity()
        if identity & self._streams:
            raise UsageError("another job uses this stream: one file for each")
        return identity

    async def close(self) -> None:
        """Cancel what is under way and wait until it has ended; take no more."""
        self._closed = True
        jobs = list(self._jobs.values())
        for job in jobs:
            job.request_cancel("its context was left")
        for job in jobs:
            await job.close()
        for domid, (name, folder) in self._handed_over.items():
            forget(folder, domid, name)  # left suspended on purpose
        self._handed_over.clear()


async def begun(beginning: Coroutine[Any, Any, Job[Result]]) -> Job[Result]:
    """Give a job that has begun.

    Its beginning is gone through to the end, bounded, also if we are cancelled: what it
    makes on the way would be nobody's. A job that nobody gets is closed.
    """
    task = asyncio.create_task(beginning)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await finish(asyncio.create_task(_given_up(task)))
        raise


async def _given_up(beginning: asyncio.Task[Job[Any]]) -> None:
    with contextlib.suppress(LibxlpyError):
        job = await beginning
        await job.close()


async def uuid_of(env: Environment, domid: int) -> str:
    """Give a domain's uuid; "" if it can't be asked: the job itself will meet that."""
    try:
        async with ops_helper(env) as ops:
            facts = await hypercalls.find(ops, domid)
    except LibxlpyError:
        return ""
    return "" if facts is None else facts.uuid
