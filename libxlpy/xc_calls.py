"""The low level of a context: libxenguest's two functions, with the caller's callbacks.

For toolstacks that suspend, resume and build domains by themselves.
"""

from libxlpy.callbacks import RestoreCallbacks, SaveCallbacks
from libxlpy.deadlines import Deadlines
from libxlpy.domain.hypercalls import check_domid
from libxlpy.jobs.job import Job
from libxlpy.jobs.registry import Jobs
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.operations.flags import NOT_LIVE, SuspendFlags
from libxlpy.operations.raw import NO_RINGS, RawRestore, RawSave, Rings
from libxlpy.recovery.all_jobs import Machine
from libxlpy.recovery.claim import claim
from libxlpy.results import RestoreResult, SaveResult
from libxlpy_protocol.enums import Image, StreamType


class XcCalls(Machine):
    """``xc_domain_save`` and ``xc_domain_restore``; part of a ``Context``."""

    #: Those of the context.
    _jobs: Jobs

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

        After a failure log-dirty mode is switched off; resuming the guest is for the
        caller, who suspended it. Errors as of ``domain_suspend``.

        Args:
            domid: Of the domain.
            fd: Open for writing. Stays yours.
            callbacks: What libxenguest asks for.
            flags: LIVE, DEBUG.
            image: RAW writes the libxc stream only, LIBXL libxl's records around it.
            stream_type: PLAIN, or REMUS for checkpoints, which needs the callbacks
                ``checkpoint`` and ``postcopy``, and LIVE.
            deadlines: For this job instead of the context's.
        """
        env = self._env(deadlines)
        plan = RawSave(
            check_domid(domid),
            callbacks,
            env,
            flags=flags,
            image=image,
            stream_type=stream_type,
        )
        async with claim(env, domid, "a save") as claimed:
            return await self._jobs.begin(plan, StreamFd(fd, "write"), env, claimed)

    async def xc_domain_restore(
        self,
        domid: int,
        fd: int,
        callbacks: RestoreCallbacks,
        *,
        rings: Rings = NO_RINGS,
        stream_type: StreamType = StreamType.PLAIN,
        deadlines: Deadlines | None = None,
    ) -> Job[RestoreResult]:
        """Run ``xc_domain_restore`` into a domain that the caller has built.

        A stream with checkpoints is read until it ends, or its writer is gone, or
        ``checkpoint`` answers 2; the domain is then as at the last checkpoint that was
        complete, and this a success. Errors as of ``domain_restore``.

        Args:
            domid: Of the empty domain.
            fd: Open for reading, at the first byte of the libxc stream. Stays yours.
            callbacks: What libxenguest asks for.
            rings: Event channels of the domain's xenstore and console rings.
            stream_type: As it was saved; REMUS needs the callback ``checkpoint``.
            deadlines: For this job instead of the context's.
        """
        env = self._env(deadlines)
        plan = RawRestore(check_domid(domid), callbacks, env, rings, stream_type)
        async with claim(env, domid, "a restore") as claimed:
            return await self._jobs.begin(plan, StreamFd(fd, "read"), env, claimed)
