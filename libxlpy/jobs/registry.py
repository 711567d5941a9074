"""The jobs of one context: started, found to be in the way, cancelled at the end."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from libxlpy.aio import finish
from libxlpy.domain import hypercalls
from libxlpy.domain.repair import ask_guest
from libxlpy.errors import UsageError
from libxlpy.jobs.guard import Guard
from libxlpy.jobs.job import Job
from libxlpy.jobs.meter import Meter
from libxlpy.jobs.operation import Operation, Result
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.jobs.watchers import JobLog, Watchers
from libxlpy.journal import Folder, Life, Stream
from libxlpy.process.environment import Environment
from libxlpy.recovery.claim import Claim, claim, forget
from libxlpy.results import GuestState, Kind
from libxlpy_protocol.errors import LibxlpyError

#: Kind of operation -> what its claim is for.
PURPOSES: dict[Kind, str] = {
    "save": "a save",
    "restore": "a restore",
    "migrate": "a migration",
    "receive": "a migration",
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


async def _uuid_of(operation: Operation[Any]) -> str:
    """Give its domain's uuid; "" if it can't be asked: the job will meet that."""
    try:
        async with operation.env.hypercalls() as ops:
            facts = await hypercalls.find(ops, operation.domid)
    except LibxlpyError:
        return ""
    return "" if facts is None else facts.uuid


# ----- what comes after a save ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Handed:
    """A guest that a save has left suspended."""

    job: str
    uuid: str
    #: Measures its downtime until it is resumed.
    meter: Meter
    #: Keeps those away that look after guests of dead processes.
    life: Life
    #: Lets it run again should we die; None if nobody does.
    guard: Guard | None = None

    async def settled(self) -> None:
        """Take that the guest is resumed, gone, or to stay as it is."""
        if self.guard is not None:
            await self.guard.release()
        self.life.close()


class HandedOver:
    """Guests that saves of one context left suspended, for its caller to go on with."""

    def __init__(self) -> None:
        self._guests: dict[int, Handed] = {}
        #: Of guests that were saved once more.
        self._leaving: set[asyncio.Task[None]] = set()

    def guests(self) -> list[tuple[int, str]]:
        """Give domid and uuid of all."""
        return [(domid, each.uuid) for domid, each in self._guests.items()]

    def guarded(self) -> list[tuple[int, str]]:
        """Give domid and uuid of those that may run again should anything fail."""
        guests = self._guests.items()
        return [(domid, each.uuid) for domid, each in guests if each.guard is not None]

    def add(self, domid: int, handed: Handed) -> None:
        """Take a guest."""
        before = self._guests.pop(domid, None)
        if before is not None:
            leaving = asyncio.create_task(before.settled())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        self._guests[domid] = handed

    async def destroyed(self, domid: int) -> None:
        """Take that a guest was destroyed; no error if it is not known."""
        handed = self._guests.pop(domid, None)
        if handed is not None:
            await handed.settled()

    async def resumed(self, domid: int, uuid: str) -> float | None:
        """Take that a guest runs again.

        Returns:
            Milliseconds it was down; None if no save of this context had suspended it.
        """
        handed = self._guests.pop(domid, None)
        if handed is None:
            return None
        if handed.uuid == uuid:
            handed.meter.resumed(time.monotonic())
        await handed.settled()
        return handed.meter.downtime if handed.uuid == uuid else None

    async def resumed_by_guard(self, env: Environment, domid: int, uuid: str) -> str:
        """Have a guest that we can't resume looked after by its guard.

        Returns:
            Its uuid if it runs now, else "".
        """
        handed = self._guests.get(domid)
        if handed is None or handed.guard is None or uuid not in ("", handed.uuid):
            return ""
        await handed.guard.act()
        settled = await ask_guest(env, domid, handed.uuid)
        if settled.guest is not GuestState.RUNNING:
            return ""
        forget(Folder(env.backend.jobs_dir), domid, handed.job)
        return handed.uuid

    async def given_up(self, domid: int) -> None:
        """Leave a guest that can't be resumed to whoever recovers."""
        handed = self._guests.pop(domid, None)
        if handed is not None:
            await handed.settled()

    async def close(self, folder: Folder) -> None:
        """Forget them all: they are left suspended on purpose."""
        for domid, handed in list(self._guests.items()):
            forget(folder, domid, handed.job)
            await handed.settled()
        self._guests.clear()
        if self._leaving:
            await asyncio.wait(self._leaving)
