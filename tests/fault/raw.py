"""A toolstack of its own: raw jobs, and what is theirs to do around them."""

import asyncio
from pathlib import Path

from libxlpy import Context, GuestState, RestoreCallbacks, SaveCallbacks, SuspendFlags
from libxlpy.errors import JobError
from libxlpy.results.of_jobs import RestoreResult, SaveResult
from libxlpy.save_file import SaveFile
from libxlpy.simxen.client import SimClient
from tests.fault.saboteur import Saboteur
from tests.fault.sweep import DEADLINES
from tests.support.simxen_clients import Hypervisor
from tests.support.victim import MEMORY_MIB, Victim

#: Nothing but log-dirty mode is put right after a raw save.
LEFT = (GuestState.RUNNING, GuestState.SUSPENDED)
SUSPEND = 2


class Toolstack:
    """Answers libxenguest about one guest."""

    def __init__(self, victim: Victim) -> None:
        self._victim = victim
        self._hypercall: asyncio.Task[None] | None = None
        self.callbacks = SaveCallbacks(
            suspend=self._suspend, switch_qemu_logdirty=self._logdirty
        )

    async def _logdirty(self, domid: int, enable: bool) -> int:
        return 0

    async def _suspend(self) -> int:
        self._hypercall = asyncio.create_task(asyncio.to_thread(self._shutdown))
        await asyncio.shield(self._hypercall)
        return 1

    def _shutdown(self) -> None:
        hypervisor = Hypervisor(self._victim.directory)
        hypervisor.ok(Hypervisor.SHUTDOWN, self._victim.domid, SUSPEND)
        hypervisor.sock.close()

    async def put_right(self, ctx: Context) -> None:
        """Let the guest run on, if we have suspended it."""
        if self._hypercall is not None:
            await self._hypercall
            await ctx.domain_resume(self._victim.domid)


async def raw_save(
    victim: Victim, path: Path, saboteur: Saboteur
) -> SaveResult | JobError:
    """Run ``xc_domain_save``, live."""
    toolstack = Toolstack(victim)
    async with Context("simxen", victim.directory, DEADLINES) as ctx:
        ctx._observer = saboteur
        with await SaveFile.when_free(path, b"") as file:
            job = await ctx.xc_domain_save(
                victim.domid, file.fd, toolstack.callbacks, SuspendFlags.LIVE
            )
            saboteur.started(job)
            try:
                outcome: SaveResult | JobError = await job
                file.commit()
            except JobError as exc:
                outcome = exc
        ctx._observer = None
        await toolstack.put_right(ctx)
    return outcome


async def raw_restore(
    victim: Victim, path: Path, config: bytes, saboteur: Saboteur
) -> RestoreResult | JobError:
    """Run ``xc_domain_restore`` into a domain of our own, which is removed again."""
    fields = {"type": victim.kind, "memory_mib": MEMORY_MIB, "restore": True}
    async with (
        Context("simxen", victim.directory, DEADLINES) as ctx,
        SimClient(victim.directory) as client,
    ):
        ctx._observer = saboteur
        domid = await client.create("copy", **fields)
        try:
            with path.open("rb") as file:
                job = await ctx.xc_domain_restore(
                    domid, file.fileno(), RestoreCallbacks()
                )
                saboteur.started(job)
                return await job
        except JobError as exc:
            return exc
        finally:
            await client.destroy(domid)
