"""The entrance: a context has a backend and owns the jobs started from it.

    async with Context() as ctx:
        job = await ctx.domain_suspend(7, fd, SuspendFlags.LIVE)
        result = await job
        await ctx.domain_resume(7)

Nothing here is global: no signal handler, no child watcher; a program may have several
contexts. Leaving a context cancels what is still under way and waits.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from libxlpy.aio import Value, aside
from libxlpy.backend import Backend, detect
from libxlpy.callbacks import PrecopyPolicy
from libxlpy.deadlines import DEFAULT_DEADLINES, Deadlines
from libxlpy.domain import requests, resume
from libxlpy.errors import BackendError, UsageError
from libxlpy.jobs.job import Job
from libxlpy.jobs.meter import Suspended
from libxlpy.jobs.registry import Jobs, begun
from libxlpy.jobs.stall import NO_STALL_POLICY, StallPolicy
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.jobs.watchers import Watcher
from libxlpy.libxl_helper import OWN, find_helper
from libxlpy.operations.flags import NOT_LIVE, SuspendFlags, check_can_suspend, xc_flags
from libxlpy.operations.restore import Preparing, plan_restore
from libxlpy.operations.save import DomainSave
from libxlpy.ops import Ops
from libxlpy.process.environment import Environment
from libxlpy.process.link import finish
from libxlpy.process.pump import Observer
from libxlpy.recovery.claim import claim
from libxlpy.results import RestoreResult, SaveResult
from libxlpy.xc_calls import XcCalls
from libxlpy_protocol.enums import OnParentLoss

#: Seconds for files that are small, and local unless somebody put them elsewhere.
LOOK_SECONDS = 10.0


class Context(XcCalls):
    """A backend in use, and the jobs started on it; enter it with ``async with``."""

    def __init__(
        self,
        backend: str = "auto",
        host: str | os.PathLike[str] | None = None,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        helper: str = OWN,
        stall: StallPolicy = NO_STALL_POLICY,
    ) -> None:
        """Say what to use; nothing is looked at before the context is entered.

        Args:
            backend: ``"auto"``, ``"xen"`` or ``"simxen"``.
            host: Folder of the embedded host, the default one if None.
            deadlines: For all jobs that bring none of their own.
            helper: What runs ``xc_domain_save`` unless a job says otherwise: ``"own"``,
                ``"libxl"`` (libxl-save-helper of the running Xen), ``"libxl:/path"``.
            stall: For all jobs that bring none of their own.
        """
        self._wanted = (backend, host)
        self._deadlines = deadlines
        self._helper = helper
        self._stall = stall
        self._backend: Backend | None = None
        self._jobs = Jobs()
        self._ops = Ops()
        self._suspended = Suspended()
        #: Testing hook: sees every message of every helper, both ways.
        self._observer: Observer | None = None

    # ----- life -------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Find the backend.

        Raises:
            BackendError: There is none that can be used.
        """
        self._backend = await _found(lambda: detect(*self._wanted))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cancel jobs that are still under way and wait until they have ended."""
        await finish(asyncio.create_task(self._close()))

    async def _close(self) -> None:
        await self._jobs.close()
        await self._ops.close()
        self._backend = None

    @property
    def backend(self) -> Backend:
        """The backend in use.

        Raises:
            UsageError: The context is not entered.
        """
        if self._backend is None:
            raise UsageError("context is not entered: use `async with Context()`")
        return self._backend

    def _env(
        self, deadlines: Deadlines | None = None, stall: StallPolicy | None = None
    ) -> Environment:
        return Environment(
            self.backend,
            deadlines or self._deadlines,
            self._ops,
            self._observer,
            suspended=self._suspended,
            stall=stall or self._stall,
        )

    def watch(self, watcher: Watcher) -> None:
        """Have somebody told of every job that begins from now on."""
        self._jobs.watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Have them told of no further jobs."""
        self._jobs.watchers.remove(watcher)

    # ----- domains ----------------------------------------------------------------

    async def domain_destroy(self, domid: int, *, uuid: str = "") -> None:
        """End a domain at once; errors as of :func:`libxlpy.domain.requests.do`.

        Args:
            domid: Of the domain.
            uuid: Of the domain that is meant: should another have the domid by now, it
                is left alone. "" for whichever has it.

        Raises:
            DomainBusy: Somebody works on it.
        """
        env = self._env()
        async with claim(env, domid, "a destroy"):
            await requests.destroy(env, domid, uuid)

    # ----- save, restore, resume --------------------------------------------------

    async def domain_suspend(
        self,
        domid: int,
        fd: int,
        flags: SuspendFlags = NOT_LIVE,
        *,
        deadlines: Deadlines | None = None,
        helper: str | None = None,
        stall: StallPolicy | None = None,
        precopy_policy: PrecopyPolicy | None = None,
        on_parent_loss: OnParentLoss = OnParentLoss.ABORT_AND_RESUME,
    ) -> Job[SaveResult]:
        """Save a domain to a stream, as ``libxl_domain_suspend``.

        On success the domain is left suspended: resume or destroy it. On failure it
        runs again, if it can.

        Args:
            domid: Of the domain; it must run or be suspended already.
            fd: Open for writing; file, pipe or socket. Stays yours, is not closed.
            flags: LIVE, DEBUG.
            deadlines: For this job instead of the context's.
            helper: For this job instead of the context's.
            stall: For this job instead of the context's.
            precopy_policy: Says before and after each pass how to go on, instead of
                libxenguest's own way; bounded by the deadline ``callback``.
            on_parent_loss: Should this process die: ABORT_AND_RESUME, or FINISH, which
                writes on if the guest is suspended already and leaves it so.

        Raises:
            DomainNotFound: There is no such domain.
            DomainBusy: Somebody else works on it.
            UsageError: An argument can't be used, or the domain can't suspend.
            NotSupported: LIVE, a PV guest, and a Xen without shadow paging.
            BackendError: The hypervisor can't be asked.
        """
        env = replace(self._env(deadlines, stall), precopy_policy=precopy_policy)
        xc_flags(flags)
        choice, backend = self._helper if helper is None else helper, self.backend
        program = await _found(lambda: find_helper(choice, backend))
        async with claim(env, domid, "a save") as claimed:
            info = await requests.look(env, domid)
            check_can_suspend(info)
            if SuspendFlags.LIVE in flags:
                await requests.check_can_log(env, info)
            plan = DomainSave(info, flags, env, program, on_parent_loss)
            return await self._jobs.begin(plan, StreamFd(fd, "write"), env, claimed)

    async def domain_restore(
        self,
        fd: int,
        *,
        config: bytes | None = None,
        name: str | None = None,
        paused: bool = False,
        monitor: bool = False,
        deadlines: Deadlines | None = None,
    ) -> Job[RestoreResult]:
        """Make a domain from a stream that ``domain_suspend`` has written.

        Args:
            fd: Open for reading, at the first byte of the libxl stream. Stays yours.
            config: The domain's configuration as ``retrieve_config`` gave it.
            name: For the new domain instead of the one in ``config``.
            paused: Leave it paused.
            monitor: Have a process look after it, as ``xl`` does: it acts on
                ``on_reboot``, ``on_crash`` ... An embedded host does so in any case.
            deadlines: For this job instead of the context's.

        Raises:
            UsageError: ``fd`` or ``config`` can't be used.
            BackendError: The host refuses to build the domain.
        """
        env = self._env(deadlines)
        stream = StreamFd(fd, "read")
        preparing = plan_restore(env, config, name, paused=paused, monitor=monitor)
        return await begun(self._begin_restore(stream, preparing))

    async def _begin_restore(
        self, stream: StreamFd, preparing: Preparing
    ) -> Job[RestoreResult]:
        try:
            plan, env = await preparing
        except BaseException:
            stream.close()
            raise
        try:
            async with claim(env, plan.domid, "a restore") as claimed:
                return await self._jobs.begin(plan, stream, env, claimed)
        except BaseException:
            stream.close()
            await plan.discard()
            raise

    async def domain_resume(
        self, domid: int, suspend_cancel: bool = True, *, uuid: str = ""
    ) -> float | None:
        """Let a suspended domain run again, as ``libxl_domain_resume``.

        Args:
            domid: Of the domain, in shutdown(suspend).
            suspend_cancel: The guest's suspend call returns "cancelled"; else it comes
                back as after a restore.
            uuid: As for :meth:`domain_destroy`.

        Returns:
            Milliseconds it was down; None if no save of this context suspended it.

        Raises:
            DomainBusy: Somebody works on it.
            LibxlpyError: As of :func:`libxlpy.domain.resume.domain_resume`.
        """
        env = self._env()
        async with claim(env, domid, "a resume"):
            return await resume.domain_resume(
                env, domid, uuid, suspend_cancel=suspend_cancel
            )


async def _found(look: Callable[[], Value]) -> Value:
    """Look for something in files, beside the loop.

    Raises:
        BackendError: They don't answer.
    """
    try:
        return await aside(look, LOOK_SECONDS)
    except TimeoutError as exc:
        text = f"this machine's files do not answer in {LOOK_SECONDS:g} s"
        raise BackendError(text) from exc
