"""A domain: its memory, its vcpu page, its guest process, and what state it is in.

Whether the guest process runs follows from three facts: how often the domain is paused,
whether it shut down, and whether it is dying. Everything that changes one of them ends
in ``_follow``, which stops the process before it returns.

Source: Xen, xen/common/domain.c: domain_pause_by_systemcontroller(), domain_shutdown(),
domain_resume().
"""

import asyncio
import contextlib
import errno
import uuid
from collections.abc import Callable
from typing import Any

from libxlpy.simxen.errors import HypercallError, SimxenError
from libxlpy.simxen.faults import FAULT_REASONS, FaultPlan, Place
from libxlpy.simxen.guest_process import GuestProcess, in_thread
from libxlpy.simxen.library import Verified, simxen_library
from libxlpy.simxen.spec import DomainSpec
from libxlpy.simxen.suspend_channel import SuspendChannel
from libxlpy.simxen.vcpu import (
    DEVICE_MODEL_PAGES,
    Command,
    Fill,
    SharedMemory,
    Tracker,
    VcpuPage,
)
from libxlpy_protocol.xen import PAGE_SIZE, SHUTDOWN_CRASH, SHUTDOWN_SUSPEND

#: How often a domain may be paused. Source: Xen, 255 in the same function.
MAX_PAUSES = 255


class Domain:
    """One domain from creation to destruction.

    Args:
        domid: Its number; another domain may get it once this one is gone.
        spec: What was asked for.
        on_shutdown: Called after each shutdown, also one by a crash.

    Raises:
        OSError: No memory can be had.
    """

    def __init__(
        self, domid: int, spec: DomainSpec, on_shutdown: Callable[["Domain"], None]
    ) -> None:
        self.domid = domid
        self.spec = spec
        self.uuid = spec.uuid or uuid.uuid4()
        self.faults = FaultPlan()
        self.suspend_channel = SuspendChannel() if spec.suspend_channel else None
        self.memory = SharedMemory(f"simxen-{domid}", spec.nr_pages * PAGE_SIZE)
        self.vcpu = VcpuPage(f"simxen-{domid}-vcpu", spec.nr_pages)
        self.guest: GuestProcess | None = None
        self.pauses = 1 if spec.paused or spec.restore else 0
        self.shutdown_reason: int | None = None
        self._shutting_down = False
        self.dying = False
        self.logdirty = False
        #: Memory and vcpu page hold a guest; false until a restore is through.
        self.valid = not spec.restore
        #: Its guest was started; None while it is being started.
        self.launched: bool | None = False
        #: Set while the guest can do something; its agent waits for it.
        self.runnable = asyncio.Event()
        #: Set aside for it by a claim, what it has counted; see ``host_memory``.
        self.claimed_pages = 0
        self._on_shutdown = on_shutdown
        self._lock = asyncio.Lock()
        self._cpu_time_ns = 0
        if not spec.restore:
            self._write_first_state()

    def _write_first_state(self) -> None:
        spec, vcpu = self.spec, self.vcpu
        vcpu["arch.guest_id"] = self.uuid.int & (2**63 - 1)
        vcpu["arch.rate"] = spec.rate
        vcpu["arch.pattern"] = spec.pattern
        vcpu["arch.hot_pages"] = spec.hot_pages
        vcpu["fill"] = Fill.WANTED if spec.fill else Fill.NONE

    def _write_control_section(self) -> None:
        vcpu = self.vcpu
        vcpu["command"] = Command.RUN if vcpu["fill"] else Command.STOP
        vcpu["tracker_kind"] = self.spec.tracker
        vcpu["guest_pages"] = (
            self.spec.nr_pages - DEVICE_MODEL_PAGES if self.has_device_model else 0
        )

    # ----------------------------------------------------------------- facts

    @property
    def has_device_model(self) -> bool:
        """Whether a qemu belongs to it: HVM only, PVH has none."""
        return self.spec.type == "hvm"

    @property
    def outstanding_pages(self) -> int:
        """Pages that are claimed for it and not there yet."""
        if self.dying or not self.claimed_pages:
            return 0
        return max(self.claimed_pages - self.memory.resident // PAGE_SIZE, 0)

    @property
    def can_run(self) -> bool:
        """Whether nothing holds the guest back."""
        held = self.pauses or self.dying or self._shutting_down
        return self.guest is not None and not held and self.shutdown_reason is None

    @property
    def cpu_time_ns(self) -> int:
        """CPU time of all guest processes it had, nanoseconds."""
        return self._cpu_time_ns + (self.guest.cpu_time_ns if self.guest else 0)

    # -------------------------------------------------------------- operations

    async def start_guest(self) -> None:
        """Start the guest process; with ``fill``, return when all pages are written.

        Raises:
            SimxenError: The guest died at once.
            HypercallError: ESRCH, the domain is being destroyed.
        """
        async with self._lock:
            self._check_alive()
            self._write_control_section()
            self.guest = GuestProcess(self.memory, self.vcpu, self._guest_died)
            await self._wait_until_filled(self.guest)
            if self.logdirty:
                with contextlib.suppress(ProcessLookupError):
                    await self.guest.track(True)
            await self._follow()

    async def pause(self) -> None:
        """Hold the guest once more; no write is under way when this returns."""
        async with self._lock:
            self._check_alive()
            if self.pauses >= MAX_PAUSES:
                raise HypercallError(errno.EOVERFLOW)
            self.pauses += 1
            await self._follow()

    async def unpause(self) -> None:
        """Take one hold away.

        Raises:
            HypercallError: EINVAL, it was not paused.
        """
        async with self._lock:
            self._check_alive()
            if not self.pauses:
                raise HypercallError(errno.EINVAL)
            self.pauses -= 1
            await self._follow()

    async def shutdown(self, reason: int) -> None:
        """Shut the domain down; nothing happens if it already is."""
        async with self._lock:
            if self.dying or self.shutdown_reason is not None:
                return
            # Told when it writes no more: who sees it shut down may copy its memory.
            self._shutting_down = True
            await self._follow()
            self._shutting_down = False
            if self.shutdown_reason is None:  # it did not die instead
                self.shutdown_reason = reason
        self._on_shutdown(self)
        channel = self.suspend_channel
        if channel is not None and channel.subscribed and reason == SHUTDOWN_SUSPEND:
            channel.fire()

    async def shutdown_by_hypercall(self, reason: int) -> None:
        """Shut down as a toolstack asks, which a fault can get in the way of."""
        fault = self.faults.take(Place.AGENT) if reason == SHUTDOWN_SUSPEND else None
        if fault is not None and fault.name == "never_suspend":
            return
        name = fault.name if fault else ""
        await self.shutdown(FAULT_REASONS.get(name, reason))

    async def resume(self, *, fast: bool) -> None:
        """Let a domain that shut down go on.

        Args:
            fast: It only sees its suspend hypercall fail; otherwise it believes to
                have been restored.

        Raises:
            HypercallError: EINVAL, it is not in shutdown(suspend) or has no guest.
        """
        async with self._lock:
            self._check_alive()
            if self.shutdown_reason != SHUTDOWN_SUSPEND or self.guest is None:
                raise HypercallError(errno.EINVAL)
            self.vcpu["arch.suspend_count"] += 1
            if not fast:
                self.vcpu["arch.restored_count"] += 1
            self.shutdown_reason = None
            await self._follow()

    async def set_logdirty(self, on: bool) -> Tracker:
        """Begin or end the tracking of written pages.

        Returns:
            Where to look for them; without a guest process nothing will be there.

        Raises:
            HypercallError: EINVAL, on when on; EOPNOTSUPP, no tracker of that kind.
        """
        async with self._lock:
            self._check_alive()
            if on and self.logdirty:
                raise HypercallError(errno.EINVAL)
            tracker = Tracker.BITMAP if on else Tracker.OFF
            if self.guest is not None:
                with contextlib.suppress(ProcessLookupError):  # it writes no more
                    tracker = await self.guest.track(on)
            if tracker is Tracker.FAILED:
                if self.guest is not None:
                    await self.guest.track(False)
                raise HypercallError(errno.EOPNOTSUPP)
            self.logdirty = on
            return tracker

    async def verify(self) -> dict[str, Any]:
        """Check every page against itself and all against the vcpu page's digest.

        A running guest is held meanwhile; the device model writes only while the
        domain isn't paused, so it is held too.
        """
        async with self._lock:
            self._check_alive()
            self.pauses += 1
            try:
                await self._follow()
                found = await self._verify_memory()
                expected = self.vcpu["arch.digest"]
            finally:
                self.pauses -= 1
                await self._follow()
        first_bad = found.first_bad if found.bad_pages else None
        return {
            "pages": self.spec.nr_pages,
            "bad": found.bad_pages,
            "first_bad": first_bad,
            "digest_memory": found.digest,
            "digest_vcpu": expected,
            "match": not found.bad_pages and found.digest == expected,
        }

    async def destroy(self) -> None:
        """End the guest process and give the memory back."""
        self.dying = True
        self.runnable.clear()
        if self.guest is not None:
            await self.guest.stop()
        async with self._lock:  # whoever waited for the guest has let go
            self.guest = None
            self.memory.close()
            self.vcpu.close()

    # ---------------------------------------------------------------- private

    async def _verify_memory(self) -> Verified:
        found: list[Verified] = []
        fd, nr_pages = self.memory.fd, self.spec.nr_pages
        library = simxen_library()
        await in_thread(lambda: found.append(library.verify(fd, nr_pages)))
        return found[0]

    def _check_alive(self) -> None:
        if self.dying:
            raise HypercallError(errno.ESRCH)

    async def _follow(self) -> None:
        """Make the guest process do what the facts say."""
        if self.guest is None:
            return
        try:
            await self.guest.command(Command.RUN if self.can_run else Command.STOP)
        except ProcessLookupError:
            return  # _guest_died says the rest
        if self.can_run:
            self.runnable.set()
        else:
            self.runnable.clear()

    async def _wait_until_filled(self, guest: GuestProcess) -> None:
        # The guest says so in shared memory, to which no event loop can listen.
        while self.vcpu["fill"] == Fill.WANTED and guest.alive:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        if not guest.alive:
            raise SimxenError(f"the guest process of domain {self.domid} died at start")

    def _guest_died(self) -> None:
        """Note a crash: a guest process never ends by itself."""
        if self.guest is not None:
            self._cpu_time_ns += self.guest.cpu_time_ns
        self.guest = None
        self.runnable.clear()
        self.shutdown_reason = SHUTDOWN_CRASH
        self._on_shutdown(self)
