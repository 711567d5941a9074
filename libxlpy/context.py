"""The entrance: a context has a backend and owns the jobs started from it.

    async with Context() as ctx:
        job = await ctx.domain_suspend(7, fd, SuspendFlags.LIVE)
        result = await job
        await ctx.domain_resume(7)

Nothing here is global: no signal handler, no child watcher; a program may have several
contexts. Leaving a context cancels what is still under way and waits.
"""

from __future__ import annotations

import asyncio
import logging
from functools import cached_property
from typing import TYPE_CHECKING, Self

from libxlpy.aio import finish
from libxlpy.backend import Backend, detect
from libxlpy.deadlines import DEFAULT_DEADLINES, Deadlines
from libxlpy.errors import UsageError
from libxlpy.later import Later, later
from libxlpy.operations.flags import NOT_LIVE, OWN, SuspendFlags
from libxlpy.process.environment import Environment, HypercallHelpers, found
from libxlpy_protocol.enums import Image, OnParentLoss, Op, StreamType

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from libxlpy.callbacks import RestoreCallbacks, SaveCallbacks
    from libxlpy.domain import requests, resume
    from libxlpy.domain.info import DomainInfo
    from libxlpy.jobs import registry
    from libxlpy.jobs.job import Job
    from libxlpy.jobs.stall import StallPolicy
    from libxlpy.jobs.watchers import Watcher
    from libxlpy.migration import announced, channel, forecast, receive, send, settle
    from libxlpy.migration.greeting import Connect
    from libxlpy.migration.hooks import MigrationHooks
    from libxlpy.migration.landing import Landing
    from libxlpy.operations import raw, restore, restore_target, save
    from libxlpy.policies import AnyPolicy
    from libxlpy.process.pump import Observer
    from libxlpy.recovery import all_jobs, stop_and_copy
    from libxlpy.recovery.recovery import Recovered
    from libxlpy.remus import backup, primary, protection
    from libxlpy.remus.devices import Device
    from libxlpy.remus.fence import Fence
    from libxlpy.remus.host import BackupHost
    from libxlpy.remus.info import RemusInfo
    from libxlpy.remus.protection import Protection
    from libxlpy.results.of_jobs import MigrateResult, RestoreResult, SaveResult
    from libxlpy.results.report import GuestState
else:
    registry = Later("libxlpy.jobs.registry")
    requests, resume = later("libxlpy.domain", "requests", "resume")
    _names = ("announced", "channel", "forecast", "receive", "send", "settle")
    announced, channel, forecast, receive, send, settle = later(
        "libxlpy.migration", *_names
    )
    raw, restore, restore_target, save = later(
        "libxlpy.operations", "raw", "restore", "restore_target", "save"
    )
    all_jobs, stop_and_copy = later("libxlpy.recovery", "all_jobs", "stop_and_copy")
    backup, primary, protection = later(
        "libxlpy.remus", "backup", "primary", "protection"
    )

logger = logging.getLogger("libxlpy")


class Context:
    """A backend in use, and the jobs started on it; enter it with ``async with``."""

    def __init__(
        self,
        backend: str = "auto",
        host: str | os.PathLike[str] | None = None,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        helper: str = OWN,
        stall: StallPolicy | None = None,
        autoballoon: str = "off",
    ) -> None:
        """Say what to use; nothing is looked at before the context is entered.

        Args:
            backend: ``"auto"``, ``"xen"`` or ``"simxen"``.
            host: Folder of the embedded host, the default one if None.
            deadlines: For all jobs that bring none of their own.
            helper: What runs ``xc_domain_save`` unless a job says otherwise: ``"own"``,
                ``"libxl"`` (libxl-save-helper of the running Xen), ``"libxl:/path"``.
            stall: For all jobs that bring none of their own.
            autoballoon: ``"on"``: dom0 gives memory that a domain to come lacks, on
                real Xen; ``"auto"``: unless Xen was booted with ``dom0_mem=``.
        """
        self._wanted = (backend, host)
        self._deadlines = deadlines
        self._helper = helper
        self._stall = stall
        self._autoballoon = autoballoon
        self._backend: Backend | None = None
        self._helpers = HypercallHelpers()
        #: Testing hook: sees every message of every helper, both ways.
        self._observer: Observer | None = None

    @cached_property
    def _jobs(self) -> registry.Jobs:
        return registry.Jobs()

    # ----- life -------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Find the backend.

        Raises:
            BackendError: There is none that can be used.
        """
        if self._backend is None:
            self._helpers.own()
        self._helpers.check_ours("this context")
        self._backend = await found(lambda: detect(*self._wanted))
        return self

    async def __aexit__(self, kind: object, value: object, traceback: object) -> None:
        """Cancel jobs that are still under way and wait until they have ended.

        Not in a child that was forked: they are its parent's.
        """
        if self._helpers.is_ours:
            await finish(asyncio.create_task(self._close(failed=value is not None)))

    async def _close(self, *, failed: bool) -> None:
        if "_jobs" in vars(self):  # else there were none
            await self._jobs.close()
            await self._jobs.handed_over.close(self._env(), failed=failed)
        await self._helpers.close()
        self._backend = None

    @property
    def backend(self) -> Backend:
        """The backend in use.

        Raises:
            UsageError: The context is not entered.
        """
        if self._backend is None:
            raise UsageError("context is not entered: use `async with Context()`")
        self._helpers.check_ours("this context")
        return self._backend

    def _env(self, deadlines: Deadlines | None = None) -> Environment:
        known = (self.backend, deadlines or self._deadlines, self._helpers)
        return Environment(*known, self._observer, autoballoon=self._autoballoon)

    def watch(self, watcher: Watcher) -> None:
        """Have somebody told of every job that begins from now on."""
        self._jobs.watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Have them told of no further jobs."""
        self._jobs.watchers.remove(watcher)

    # ----- domains ----------------------------------------------------------------

    async def list_domains(self) -> list[DomainInfo]:
        """Give all domains; see :func:`libxlpy.domain.requests.list_domains`."""
        return await requests.list_domains(self._env())

    async def resolve(self, domain: int | str) -> int:
        """Give a domid by number or name; see :func:`.requests.resolve`."""
        return await requests.resolve(self._env(), domain)

    async def retrieve_config(self, domid: int) -> bytes:
        """Give a domain's configuration; see :func:`.requests.retrieve_config`."""
        return await requests.retrieve_config(self._env(), domid)

    async def domain_pause(self, domid: int, *, uuid: str = "") -> None:
        """Stop a domain's vcpus; errors as of :func:`libxlpy.domain.requests.do`."""
        await requests.do(self._env(), Op.PAUSE, domid, uuid)

    async def domain_unpause(self, domid: int, *, uuid: str = "") -> None:
        """Let a paused domain run; errors as of :func:`.resume.domain_unpause`."""
        await resume.domain_unpause(self._env(), domid, uuid)

    async def domain_rename(self, domid: int, name: str, *, uuid: str = "") -> None:
        """Give a domain another name, as ``libxl_domain_rename``.

        Also of one that somebody works on: a job knows its domain by number and uuid.
        Errors as of :func:`libxlpy.domain.requests.rename`.
        """
        await requests.rename(self._env(), domid, name, uuid=uuid)

    async def domain_destroy(self, domid: int, *, uuid: str = "") -> None:
        """End a domain at once; errors as of :meth:`.HandedOver.destroy`.

        Args:
            domid: Of the domain.
            uuid: Of the domain that is meant: should another have the domid by now, it
                is left alone. "" for whichever has it.
        """
        await self._jobs.handed_over.destroy(self._env(), domid, uuid)

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
        policy: AnyPolicy | None = None,
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
            policy: One of :mod:`libxlpy.policies`, or a coroutine function: says before
                and after each pass how a live save goes on, instead of libxenguest's
                own way; bounded by the deadline ``callback``. See ``Job.set_policy``.
            on_parent_loss: Should this process die: ABORT_AND_RESUME, or FINISH, which
                writes on if the guest is suspended already and leaves it so.

        Raises:
            DomainNotFound: There is no such domain.
            DomainBusy: Somebody else works on it.
            UsageError: An argument can't be used, or the domain can't suspend.
            NotSupported: LIVE, a PV guest, and a Xen without shadow paging.
            BackendError: The hypervisor can't be asked.
        """
        operation = save.DomainSave(
            self._env(deadlines),
            domid,
            flags,
            helper=self._helper if helper is None else helper,
            on_parent_loss=on_parent_loss,
            stall=stall or self._stall,
            policy=policy,
        )
        return await self._jobs.start(operation, fd)

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
                Several restores from one file at once need a descriptor each.
            config: The domain's configuration as ``retrieve_config`` gave it.
            name: For the new domain instead of the one in ``config``.
            paused: Leave it paused.
            monitor: Have a process look after it, as ``xl`` does: it acts on
                ``on_reboot``, ``on_crash`` ... An embedded host does so in any case.
            deadlines: For this job instead of the context's.

        Raises:
            UsageError: ``fd``, ``config`` or ``name`` can't be used.
            BackendError: The host refuses to build the domain.
        """
        wanted = restore_target.Wanted(
            config=config, name=name, paused=paused, monitor=monitor
        )
        operation = restore.restore(self._env(deadlines), wanted)
        return await self._jobs.start(operation, fd)

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
            LibxlpyError: As of :func:`libxlpy.domain.resume.domain_resume`, unless the
                helper that has saved it is still there and resumes it.
        """
        guests = self._jobs.handed_over
        return await guests.resume(self._env(), domid, uuid, cancelled=suspend_cancel)

    # ----- migration --------------------------------------------------------------

    async def domain_migrate(
        self,
        domid: int,
        read_fd: int,
        write_fd: int,
        flags: SuspendFlags = SuspendFlags.LIVE,
        *,
        reach: channel.Reach | None = None,
        connect: Connect | None = None,
        config: bytes | None = None,
        paused: bool = False,
        reached_by: str = "",
        hooks: MigrationHooks | None = None,
        deadlines: Deadlines | None = None,
        stall: StallPolicy | None = None,
        policy: AnyPolicy | None = None,
    ) -> Job[MigrateResult]:
        """Have a domain move to the host at the other end, as ``xl migrate``.

        Until the other end was told that it may run, any failure leaves it running
        here; once it runs there, it is destroyed here. In between nobody knows: it is
        left suspended, as ``NAME--migratedaway``.

        Args:
            domid: Of the domain.
            read_fd: What the receiver (``domain_receive``, ``xl migrate-receive``)
                says: a pipe or socket. Stays yours; close it once the job has ended.
            write_fd: What it hears, and the stream in xl's handshake; may be the same.
            flags: LIVE, DEBUG.
            reach: Has the receiver be there, once nothing here is in the way.
            connect: Gives a descriptor that leads to a :class:`.Landing`, by its name;
                stays yours. Speaks our own handshake with who can.
            config: To be used there, libxl's JSON; None for the domain's own.
            paused: It is left paused there, as its receiver was told in another way.
            reached_by: Shell's words that run a command there, for ``xlpy recover``.
            hooks: Executables to be run before and after it.
            deadlines: For this job instead of the context's.
            stall: For this job instead of the context's.
            policy: As for :meth:`domain_suspend`.

        Raises:
            MigrationRefused: The receiver does not take it.
            PeerFailed: The receiver does not say that it is there.
            HookFailed: A hook refuses it; the guest was not touched.
            LibxlpyError: As of :meth:`domain_suspend`; the job :class:`.MigrationOpen`.
        """
        operation = send.Send(
            self._env(deadlines),
            domid,
            channel.Channel(read_fd, write_fd, reach),
            flags,
            connect=connect,
            config=config,
            paused=paused,
            reached_by=reached_by,
            hooks=hooks,
            stall=stall or self._stall,
            policy=policy,
        )
        return await self._jobs.start(operation, write_fd)

    async def domain_receive(
        self,
        read_fd: int,
        write_fd: int,
        *,
        stream: Landing | int | None = None,
        paused: bool = False,
        monitor: bool = False,
        hooks: MigrationHooks | None = None,
        fence: Fence | None = None,
        deadlines: Deadlines | None = None,
    ) -> Job[RestoreResult]:
        """Take a domain from the host at the other end, as ``xl migrate-receive``.

        It runs here once the sender (``domain_migrate``, ``xl migrate``) has said that
        it may; else a whole copy is left paused, as ``NAME--incoming``.

        Args:
            read_fd: What the sender says, and the stream: pipe or socket. Stays yours.
            write_fd: What it hears; may be the same.
            stream: Where the stream is handed in, or a descriptor of it: speaks our
                own handshake, which `xl` does not.
            paused: Leave it paused.
            monitor: As for :meth:`domain_restore`.
            hooks: As for :meth:`domain_migrate`.
            fence: Makes us the backup of ``domain_remus_start``, and is asked before
                its guest runs here without the primary's word; needs ``stream``.
            deadlines: For this job instead of the context's.

        Raises:
            PeerFailed: The sender does not say what comes.
            HookFailed: A hook refuses it; no domain was made.
            LibxlpyError: As of :meth:`domain_restore`.
        """
        env, ends = self._env(deadlines), channel.Channel(read_fd, write_fd)
        held = fence is not None
        async with announced.announced(
            env, ends, stream, paused=paused, monitor=monitor, held=held
        ) as domain:
            if fence is not None:
                copy = backup.backup(env, domain, hooks, fence)
                return await self._jobs.start(copy, read_fd)
            return await self._jobs.start(receive.receive(env, domain, hooks), read_fd)

    async def domain_remus_start(
        self,
        domid: int,
        info: RemusInfo,
        send_fd: int,
        recv_fd: int,
        host: BackupHost,
        *,
        devices: Iterable[Device] = (),
        deadlines: Deadlines | None = None,
    ) -> Protection:
        """Protect a domain by a copy on the host at the other end, as ``xl remus``.

        Whatever fails, it runs on here, and what it has sent leaves in order.

        Args:
            domid: Of the domain, which runs.
            info: What is wanted.
            send_fd: What the backup, ``domain_receive``, hears. Stays yours.
            recv_fd: What it says; may be the same.
            host: The backup's.
            devices: What is held back besides the domain's interfaces.
            deadlines: For this job instead of the context's.

        Raises:
            UsageError: It does not run, or has a device that nothing holds back.
            LibxlpyError: As of :meth:`domain_migrate`.
        """
        env, ends = self._env(deadlines), channel.Channel(recv_fd, send_fd, host.reach)
        operation = primary.Protect(env, domid, ends, info, host, devices)
        job = await self._jobs.start(operation, send_fd)
        return protection.Protection(operation, job)

    async def migration_forecast(
        self, domid: int, ends: channel.Ends, rate: float, config: bytes | None
    ) -> forecast.MigrationForecast:
        """Ask whether a domain could move, and how it would: see :func:`.foresee`."""
        return await forecast.foresee(self._env(), domid, ends, rate, config)

    async def migration_settle(self, domid: int, uuid: str, *, is_here: bool) -> None:
        """Settle this end of a migration that was left open: see :func:`.settle`."""
        await settle.settle(self._env(), domid, uuid, is_here=is_here)

    # ----- libxenguest's functions, with the caller's callbacks -------------------

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

        See :class:`.RawSave`; errors as of ``domain_suspend``.
        """
        env = self._env(deadlines)
        operation = raw.RawSave(
            env, domid, callbacks, flags=flags, image=image, stream_type=stream_type
        )
        return await self._jobs.start(operation, fd)

    async def xc_domain_restore(
        self,
        domid: int,
        fd: int,
        callbacks: RestoreCallbacks,
        *,
        rings: raw.Rings | None = None,
        stream_type: StreamType = StreamType.PLAIN,
        deadlines: Deadlines | None = None,
    ) -> Job[RestoreResult]:
        """Run ``xc_domain_restore`` into a domain that the caller has built.

        See :class:`.RawRestore`; errors as of ``domain_restore``.
        """
        env = self._env(deadlines)
        known = rings or raw.NO_RINGS
        operation = raw.RawRestore(env, domid, callbacks, known, stream_type)
        return await self._jobs.start(operation, fd)

    # ----- jobs -------------------------------------------------------------------

    async def list_jobs(self) -> list[all_jobs.JobStatus]:
        """Give all jobs of this machine; see :func:`.recovery.all_jobs.list_jobs`."""
        return await all_jobs.list_jobs(self.backend)

    async def job_report(self, job: str) -> str:
        """Give a failed job's report; see :func:`.recovery.all_jobs.job_report`."""
        return await all_jobs.job_report(self.backend, job)

    async def recover(self, dry_run: bool = False) -> list[Recovered]:
        """Finish or roll back jobs of dead processes; see :func:`.all_jobs.recover`."""
        return await all_jobs.recover(self._env(), dry_run=dry_run)

    async def abort_job(self, job: str) -> tuple[all_jobs.AbortAnswer, GuestState]:
        """Abort a job of any process; see :func:`.recovery.all_jobs.abort_job`."""
        return await all_jobs.abort_job(self._env(), job)

    async def stop_and_copy_job(self, job: str) -> stop_and_copy.StopAnswer:
        """Have a job of any process suspend its guest: see :mod:`.stop_and_copy`."""
        return await stop_and_copy.stop_and_copy_job(self.backend, job)
