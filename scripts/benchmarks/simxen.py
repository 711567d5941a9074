"""Ours: whole jobs of the public API on an embedded host, timed by their own phases."""

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Self

from lag import worst_lag
from reference import Drain, Feed, Reference, big_pipe

from libxlpy import Context, SaveCallbacks, SuspendFlags
from libxlpy.callbacks import PrecopyStats
from libxlpy.events import PhaseEvent
from libxlpy.process.environment import dismiss, start_ops_helper
from libxlpy.simxen.client import request, start_host, stop_host
from libxlpy_protocol.enums import Op

CALLBACKS = 300
GO_ON, STOP_AND_COPY, ABORT = 0, 1, -1


class Bench:
    """One host with one idle domain of ``memory`` MiB, all of it written once."""

    def __init__(self, folder: Path, memory: int) -> None:
        self.image = folder / "ours.img"
        self._host = folder / "host"
        self._bytes = memory << 20
        self._memory = memory

    async def __aenter__(self) -> Self:
        start_host(self._host)
        self._ctx = await Context("simxen", self._host).__aenter__()
        self._domid = self._create("bench", self._memory)
        self._small = self._create("small", 4)
        self._config = await self._ctx.retrieve_config(self._domid)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ctx.__aexit__(None, None, None)
        stop_host(self._host)

    def _create(self, name: str, memory: int) -> int:
        wanted = {"type": "pv", "memory_mib": memory, "rate": 0, "fill": True}
        domid: int = request(self._host, "create", name=name, **wanted)["domid"]
        return domid

    def _speed(self, timeline: tuple[tuple[str, float], ...], start: str) -> float:
        """Give MB/s from one phase until the next that the helper announced."""
        at = dict(timeline)
        following = [t for name, t in timeline if t > at[start] and name in LATER]
        return self._bytes / (min(following) - at[start]) / 1e6

    # ----- save, MB/s of guest memory ---------------------------------------------

    async def _save(self, fd: int) -> float:
        job = await self._ctx.domain_suspend(self._domid, fd)
        result = await job
        await self._ctx.domain_resume(self._domid)
        return self._speed(result.timeline, "suspended")

    async def save_to(self, path: Path) -> float:
        """Write to a file."""
        with path.open("wb") as file:
            return await self._save(file.fileno())

    async def save_to_pipe(self, reference: Reference) -> float:
        """Write to a pipe with a reader."""
        with Drain(reference.program) as fd:
            return await self._save(fd)

    # ----- restore, MB/s of guest memory ------------------------------------------

    async def _restore(self, fd: int) -> float:
        job = await self._ctx.domain_restore(
            fd, config=self._config, name="copy", paused=True
        )
        result = await job
        await self._ctx.domain_destroy(result.domid)
        return self._speed(result.timeline, "libxc")

    async def restore_from(self, path: Path) -> float:
        """Read a file into fresh memory."""
        with path.open("rb") as file:
            return await self._restore(file.fileno())

    async def restore_from_pipe(self, path: Path) -> float:
        """Read a pipe into fresh memory."""
        with Feed(path, 0) as fd:
            return await self._restore(fd)

    async def restore_from_save(self) -> float:
        """Read what a save writes at the same time into fresh memory."""
        reading, writing = big_pipe()
        try:
            sender = await self._ctx.domain_suspend(self._domid, writing)
            async for event in sender.events():
                if isinstance(event, PhaseEvent) and event.name == "suspended":
                    break  # from now on the sender waits for nobody but us
            speed = await self._restore(reading)
            await sender
            await self._ctx.domain_resume(self._domid)
        finally:
            os.close(reading)
            os.close(writing)
        return speed

    # ----- the rest ---------------------------------------------------------------

    async def helper_start(self) -> float:
        """Spawn a helper until its hello is read, milliseconds."""
        start = time.perf_counter()
        link = await start_ops_helper(self._ctx._env())
        taken = (time.perf_counter() - start) * 1e3
        await dismiss(link)
        return taken

    async def helper_answer(self) -> float:
        """Spawn a helper until it has answered its first question, milliseconds."""
        start = time.perf_counter()
        link = await start_ops_helper(self._ctx._env())
        await link.op(Op.LIST, 0)
        taken = (time.perf_counter() - start) * 1e3
        await dismiss(link)
        return taken

    async def save_lag(self, reference: Reference) -> float:
        """Give the loop's worst lag in a save to a pipe, milliseconds."""
        with Drain(reference.program) as fd:
            return await worst_lag(self._save(fd))

    async def callback(self) -> float:
        """Time libxenguest's precopy_policy callback to the parent and back, us.

        The median distance of two policy calls in a save that stays in precopy; what
        libxenguest does between them (reading a clean dirty bitmap) counts as ours.
        """
        calls: list[float] = []

        async def policy(stats: PrecopyStats) -> int:
            calls.append(time.perf_counter())
            return GO_ON if len(calls) < CALLBACKS else ABORT

        async def suspend() -> int:
            return 0

        callbacks = SaveCallbacks(suspend=suspend, precopy_policy=policy)
        null = os.open("/dev/null", os.O_WRONLY)
        try:
            job = await self._ctx.xc_domain_save(
                self._small, null, callbacks, flags=SuspendFlags.LIVE
            )
            await job.ended()
        finally:
            os.close(null)
        gaps = sorted(b - a for a, b in pairwise(calls))
        return gaps[len(gaps) // 2] * 1e6


#: Phases that come after the libxc image.
LATER = frozenset({"emulator", "end", "flush", "complete"})
