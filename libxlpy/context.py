"""The entrance: a context has a backend and owns the jobs started from it.

    async with Context() as ctx:
        job = await ctx.domain_suspend(7, fd, SuspendFlags.LIVE)
        result = await job
        await ctx.domain_resume(7)

Nothing here is global: no signal handler, no child watcher, no thread; a program may
have several contexts. Leaving a context cancels what is still under way and waits.
"""

import asyncio
import os
from types import TracebackType
from typing import Any, Self

from libxlpy import domain_ops, resume
from libxlpy.backend import Backend, detect
from libxlpy.callbacks import RestoreCallbacks, SaveCallbacks
from libxlpy.configuration import restored_domain, stored_config
from libxlpy.deadlines import DEFAULT_DEADLINES, Deadlines
from libxlpy.domain_info import DomainInfo
from libxlpy.errors import (
    DomainBusy,
    DomainNotFound,
    NotSupported,
    UsageError,
)
from libxlpy.job import Job
from libxlpy.link import Surroundings, finish, ops_helper
from libxlpy.low_level import NO_RINGS, RawRestore, RawSave, Rings
from libxlpy.plan import Plan, Result
from libxlpy.pump import Observer
from libxlpy.restore import DomainRestore
from libxlpy.results import RestoreResult, SaveResult
from libxlpy.save import NOT_LIVE, DomainSave, SuspendFlags, xc_flags
from libxlpy.stream_fd import StreamFd
from libxlpy.xenstore import connect
from libxlpy_protocol.messages import Image, Op, StreamType

NO_XEN_RESTORE = (
    "restoring on real Xen: use `xl restore FILE`, which reads what libxlpy saves"
)


class Context:
    """A backend in use, and the jobs started on it; enter it with ``async with``."""

    def __init__(
        self,
        backend: str = "auto",
        host: str | os.PathLike[str] | None = None,
        deadlines: Deadlines = DEFAULT_DEADLINES,
    ) -> None:
        """Say what to use; nothing is looked at before the context is entered.

        Args:
            backend: ``"auto"``, ``"xen"`` or ``"simxen"``.
            host: Folder of the embedded host, the default one if None.
            deadlines: For all jobs that bring none of their own.
        """
        self._wanted = (backend, host)
        self._deadlines = deadlines
        self._backend: Backend | None = None
        self._jobs: dict[int, Job[Any]] = {}
        self._claimed: dict[int, str] = {}
        #: Testing hook: sees every message of every helper, both ways.
        self._observer: Observer | None = None

    # ----- life -------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Find the backend.

        Raises:
            BackendError: There is none that can be used.
        """
        self._backend = detect(*self._wanted)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cancel jobs that are still under way and wait until they have ended."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.request_cancel("its context was left")
        await finish(asyncio.create_task(_all_ended(jobs)))

    @property
    def backend(self) -> Backend:
        """The backend in use.

        Raises:
            UsageError: The context is not entered.
        """
        if self._backend is None:
            raise UsageError("context is not entered: use `async with Context()`")
        return self._backend

    # ----- looking ----------------------------------------------------------------

    async def list_domains(self) -> list[DomainInfo]:
        """Give all domains, lowest domid first.

        Raises:
            BackendError: The hypervisor can't be asked.
            XenstoreError: Xenstored can't be asked.
        """
        around = self._around()
        async with (
            ops_helper(around) as ops,
            connect(
                self.backend.xenstore_socket, timeout=around.deadlines.xenstore
            ) as store,
        ):
            found = await domain_ops.list_facts(ops)
            return [await domain_ops.describe(store, facts) for facts in found]

    async def resolve(self, domain: int | str) -> int:
        """Give the domid of a domain named by number or name, as ``xl`` takes it.

        Raises:
            DomainNotFound: There is none.
        """
        number = int(domain) if isinstance(domain, str) and domain.isdecimal() else -1
        wanted = domain if isinstance(domain, int) else number
        for info in await self.list_domains():
            if info.domid == wanted or (wanted < 0 and info.name == domain):
                return info.domid
        raise DomainNotFound(domain)

    async def retrieve_config(self, domid: int) -> bytes:
        """Give a domain's configuration as JSON, as its toolstack keeps it.

        Raises:
            DomainNotFound: There is no such domain.
            BackendError: It has none, or it can't be read.
        """
        around = self._around()
        async with ops_helper(around) as ops:
            facts = await domain_ops.get(ops, domain_ops.check_domid(domid))
        return await stored_config(self.backend, domid, facts.uuid)

    # ----- save, restore, resume --------------------------------------------------

    async def domain_suspend(
        self,
        domid: int,
        fd: int,
        flags: SuspendFlags = NOT_LIVE,
        *,
        deadlines: Deadlines | None = None,
    ) -> Job[SaveResult]:
        """Save a domain to a stream, as ``libxl_domain_suspend``.

        On success the domain is left suspended: resume or destroy it. On failure it
        runs again, if it can.

        Args:
            domid: Of the domain; it must run or be suspended already.
            fd: Open for writing; file, pipe or socket. Stays yours, is not closed.
            flags: LIVE, DEBUG.
            deadlines: For this job instead of the context's.

        Raises:
            DomainNotFound: There is no such domain.
            DomainBusy: Another job of this context works on it.
            UsageError: ``fd`` or ``flags`` can't be used, or the domain can't suspend.
            BackendError: The hypervisor can't be asked.
        """
        around = self._around(deadlines)
        domain_ops.check_domid(domid)
        xc_flags(flags)
        with _Claim(self._claimed, domid, "a save") as claim:
            info = await self._look(around, domid)
            if info.shutdown and info.shutdown_reason != "suspend":
                text = f"domain {domid} has shut down ({info.shutdown_reason})"
                raise UsageError(f"{text}: there is nothing to save")
            if info.paused and not info.shutdown:
                text = f"domain {domid} is paused: unpause it first"
                raise UsageError(f"{text}, a paused guest can't suspend")
            plan = DomainSave(domid, info.type, flags, around)
            return self._begin(plan, StreamFd(fd, "write"), around, claim)

    async def domain_restore(
        self,
        fd: int,
        *,
        config: bytes | None = None,
        name: str | None = None,
        paused: bool = False,
        deadlines: Deadlines | None = None,
    ) -> Job[RestoreResult]:
        """Make a domain from a stream that ``domain_suspend`` has written.

        Args:
            fd: Open for reading, at the first byte of the libxl stream. Stays yours.
            config: The domain's configuration as ``retrieve_config`` gave it.
            name: For the new domain instead of the one in ``config``.
            paused: Leave it paused.
            deadlines: For this job instead of the context's.

        Raises:
            NotSupported: On real Xen.
            UsageError: ``fd`` or ``config`` can't be used.
            BackendError: The host refuses to build the domain.
        """
        around = self._around(deadlines)
        if self.backend.kind == "xen":
            raise NotSupported(NO_XEN_RESTORE)
        stream = StreamFd(fd, "read")
        try:
            domid, new_name = await restored_domain(self.backend, config, name)
        except BaseException:
            stream.close()
            raise
        plan = DomainRestore(domid, new_name, around, paused=paused)
        with _Claim(self._claimed, domid, "a restore") as claim:
            return self._begin(plan, stream, around, claim)

    async def domain_resume(self, domid: int, suspend_cancel: bool = True) -> None:
        """Let a suspended domain run again, as ``libxl_domain_resume``.

        Args:
            domid: Of the domain, in shutdown(suspend).
            suspend_cancel: The guest's suspend call returns "cancelled"; else it comes
                back as after a restore.

        Raises:
            UsageError: It is not suspended, or does not exist.
            LibxlpyError: The device model, hypervisor or xenstored refused.
        """
        domain_ops.check_domid(domid)
        with _Claim(self._claimed, domid, "a resume"):
            await resume.domain_resume(
                self._around(), domid, suspend_cancel=suspend_cancel
            )

    # ----- small operations -------------------------------------------------------

    async def domain_pause(self, domid: int) -> None:
        """Stop a domain's vcpus.

        Raises:
            DomainNotFound: There is no such domain.
            DomainOpError: The hypervisor refused.
        """
        await self._op(Op.PAUSE, domid)

    async def domain_unpause(self, domid: int) -> None:
        """Let a paused domain run.

        Raises:
            DomainNotFound: There is no such domain.
            DomainOpError: The hypervisor refused.
        """
        await self._op(Op.UNPAUSE, domid)

    async def domain_destroy(self, domid: int) -> None:
        """End a domain at once.

        Raises:
            DomainNotFound: There is no such domain.
            DomainBusy: A job of this context works on it.
            DomainOpError: The hypervisor refused.
        """
        with _Claim(self._claimed, domid, "a destroy"):
            await self._op(Op.DESTROY, domid)

    # ----- low level --------------------------------------------------------------

    async def xc_domain_save(
        self,
        domid: int,
        fd: int,
        callbacks: SaveCallbacks,
        flags: SuspendFlags = NOT_LIVE,
        *,
        image: Image = Image.RAW,
        stream_type: StreamType = StreamType.PLAIN,
        deadlines: Deadlines | None = None,
    ) -> Job[SaveResult]:
        """Run ``xc_domain_save`` with the caller's own callbacks.

        After a failure log-dirty mode is switched off; resuming the guest is the
        caller's, who suspended it.

        Args:
            domid: Of the domain.
            fd: Open for writing. Stays yours.
            callbacks: What libxenguest asks for.
            flags: LIVE, DEBUG.
            image: RAW writes the libxc stream only, LIBXL libxl's records around it.
            stream_type: PLAIN, or REMUS for checkpoints.
            deadlines: For this job instead of the context's.

        Raises:
            DomainBusy: Another job of this context works on it.
            UsageError: ``fd`` or ``flags`` can't be used.
        """
        around = self._around(deadlines)
        plan = RawSave(
            domain_ops.check_domid(domid),
            callbacks,
            around,
            flags=flags,
            image=image,
            stream_type=stream_type,
        )
        with _Claim(self._claimed, domid, "a save") as claim:
            return self._begin(plan, StreamFd(fd, "write"), around, claim)

    async def xc_domain_restore(
        self,
        domid: int,
        fd: int,
        callbacks: RestoreCallbacks,
        *,
        rings: Rings = NO_RINGS,
        deadlines: Deadlines | None = None,
    ) -> Job[RestoreResult]:
        """Run ``xc_domain_restore`` into a domain that the caller has built.

        Args:
            domid: Of the empty domain.
            fd: Open for reading, at the first byte of the libxc stream. Stays yours.
            callbacks: What libxenguest asks for.
            rings: Event channels of the domain's xenstore and console rings.
            deadlines: For this job instead of the context's.

        Raises:
            DomainBusy: Another job of this context works on it.
            UsageError: ``fd`` can't be used.
        """
        around = self._around(deadlines)
        plan = RawRestore(domain_ops.check_domid(domid), callbacks, around, rings)
        with _Claim(self._claimed, domid, "a restore") as claim:
            return self._begin(plan, StreamFd(fd, "read"), around, claim)

    # ----- private ----------------------------------------------------------------

    def _around(self, deadlines: Deadlines | None = None) -> Surroundings:
        return Surroundings(self.backend, deadlines or self._deadlines, self._observer)

    async def _look(self, around: Surroundings, domid: int) -> DomainInfo:
        async with (
            ops_helper(around) as ops,
            connect(
                self.backend.xenstore_socket, timeout=around.deadlines.xenstore
            ) as store,
        ):
            return await domain_ops.describe(store, await domain_ops.get(ops, domid))

    async def _op(self, op: Op, domid: int) -> None:
        domain_ops.check_domid(domid)
        async with ops_helper(self._around()) as ops:
            await domain_ops.get(ops, domid)
            await ops.checked_op(op, domid)

    def _begin(
        self,
        plan: Plan[Result],
        stream: StreamFd,
        around: Surroundings,
        claim: "_Claim",
    ) -> Job[Result]:
        """Start a job; it keeps the claim on its domain until it has ended."""
        claim.keep()

        def ended() -> None:
            del self._jobs[plan.domid]
            claim.release()

        job = Job(plan, stream, around, ended)
        self._jobs[plan.domid] = job
        return job


class _Claim:
    """One domain in use by one job or operation of a context."""

    def __init__(self, claimed: dict[int, str], domid: int, what: str) -> None:
        self._claimed = claimed
        self._domid = domid
        self._what = what
        self._kept = False

    def __enter__(self) -> Self:
        if self._domid in self._claimed:
            raise DomainBusy(self._domid, self._claimed[self._domid])
        self._claimed[self._domid] = self._what
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            self.release()

    def keep(self) -> None:
        """Hold it until :meth:`release`."""
        self._kept = True

    def release(self) -> None:
        """Give the domain free."""
        self._claimed.pop(self._domid, None)


async def _all_ended(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        await job.ended()
