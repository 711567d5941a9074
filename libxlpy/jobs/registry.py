"""The jobs of one context: started, found to be in the way, cancelled at the end."""

import asyncio
from collections.abc import Callable
from typing import Any

from libxlpy.aio import finish
from libxlpy.domain import hypercalls
from libxlpy.errors import UsageError
from libxlpy.events import JobEvent, PrecopyEvent, StatEvent
from libxlpy.jobs.handed_over import Handed, HandedOver
from libxlpy.jobs.job import Job
from libxlpy.jobs.operation import Operation, Result
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.jobs.watchers import JobLog, Watchers
from libxlpy.journal import Stream
from libxlpy.recovery.claim import Claim, claim
from libxlpy.results.figures import JobFigures
from libxlpy.results.report import Kind
from libxlpy_protocol.errors import LibxlpyError

#: Kind of operation -> what its claim is for.
PURPOSES: dict[Kind, str] = {
    "save": "a save",
    "restore": "a restore",
    "migrate": "a migration",
    "receive": "a migration",
    "remus": "its protection",
    "backup": "its primary's protection",
    "xc_domain_save": "a save",
    "xc_domain_restore": "a restore",
}


class Jobs:
    """Jobs under way, at most one for each domain."""

    def __init__(self) -> None:
        self.watchers = Watchers(JobLog())
        self.handed_over = HandedOver()
        self._jobs: dict[int, Job[Any]] = {}
        self._streams: set[StreamFd] = set()
        self._closed = False

    async def start(self, operation: Operation[Result], fd: int) -> Job[Result]:
        """Start a job; it keeps the claim on its domain until it has ended.

        Args:
            operation: What is to be done.
            fd: The caller's stream; stays theirs.

        Raises:
            UsageError: ``fd`` can't be used, or not by two jobs; or the context was
                left.
            DomainBusy: Somebody else works on the domain.
            BackendError: The hypervisor can't be asked, or nothing be written down.
            LibxlpyError: The operation can't be done.
        """
        stream = StreamFd(fd, operation.access)
        try:
            await operation.choose()
            purpose = PURPOSES[operation.kind]
            async with claim(operation.env, operation.domid, purpose) as claimed:
                await operation.prepare()
                if operation.stream_fd >= 0:
                    stream.close()
                    stream = StreamFd(operation.stream_fd, operation.access)
                operation.uuid = operation.uuid or await _uuid_of(operation)
                return self._begin(operation, stream, claimed)
        except BaseException:
            stream.close()
            await finish(asyncio.create_task(operation.discard()))
            raise

    def _begin(
        self, operation: Operation[Result], stream: StreamFd, claimed: Claim
    ) -> Job[Result]:
        domid = claimed.domid
        self._check(stream)
        name = claimed.begin(
            what=operation.what,
            uuid=operation.uuid,
            stream=Stream.of(stream.fd),
            **operation.journal(),
        )
        self._streams.add(stream)

        def ended(good: bool) -> None:
            del self._jobs[domid]
            operation.env.helpers.let_go()
            self._streams.discard(stream)
            if good and operation.leaves_suspended:
                life = claimed.hand_over()
                handed = Handed(name, operation.uuid, job.meter, life, job.guard)
                self.handed_over.add(domid, handed)
            elif job.is_unfinished or operation.is_left:
                claimed.leave()
            else:
                claimed.close()
            told.ended()

        job = Job(operation, stream, ended, claimed.note, name)
        self._jobs[domid] = job
        operation.env.helpers.hold()
        told = self.watchers.began(job)
        job.listen(shown(job, claimed))
        job.when_undone(told.undone)
        return job

    def _check(self, stream: StreamFd) -> None:
        if self._closed:
            raise UsageError("context was left: enter a new one")
        if any(stream.in_the_way_of(other) for other in self._streams):
            raise UsageError(
                "another job uses this stream: open a file once for each restore from "
                "it, and another one for each save"
            )

    async def close(self) -> None:
        """Cancel what is under way and wait until it has ended; take no more."""
        self._closed = True
        jobs = list(self._jobs.values())
        for job in jobs:
            job.request_cancel("its context was left")
        for job in jobs:
            await job.close()


def shown(job: Job[Any], claimed: Claim) -> Callable[[JobEvent], None]:
    """Give what lets other processes know how far a job is, as it hears of it."""

    def heard(event: JobEvent) -> None:
        if isinstance(event, StatEvent | PrecopyEvent):
            claimed.show(JobFigures.of(job.statistics))

    return heard


async def _uuid_of(operation: Operation[Any]) -> str:
    """Give its domain's uuid; "" if it can't be asked: the job will meet that."""
    try:
        async with operation.env.hypercalls() as ops:
            facts = await hypercalls.find(ops, operation.domid)
    except LibxlpyError:
        return ""
    return "" if facts is None else facts.uuid
