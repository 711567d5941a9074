"""Have the network know that a guest is here now: it may not say so by itself.

Linux' netfront does, qemu does for its own devices; HVM guests by PV drivers of others
do not. For each interface a RARP, and an announcement of each address that is known,
on the bridge of the interface; several times, as a frame can be lost and guest tools
write late; and until the guest's driver is connected again, or time is up.

QEMU: net/announce.c, qemu_announce_timer_step().
"""

import asyncio
import contextlib
from itertools import count

from libxlpy.aio import aside
from libxlpy.domain.interfaces import DOM0, Interface, interfaces
from libxlpy.errors import BackendError
from libxlpy.migration.bridge import announce_at
from libxlpy.migration.frames import frames_of
from libxlpy.process.environment import Environment
from libxlpy_protocol.errors import LibxlpyError

#: Seconds between the rounds, as qemu has them.
PAUSES = (0.05, 0.15, 0.25, 0.35)
#: Seconds of the deadline that are left for the last round.
LAST_ROUND = 1.0
NOT_CONNECTED = (
    "was announced, but its guest's driver is not connected yet: its bridge finds the "
    "guest once that speaks"
)


class Announcement:
    """One announcement of one domain, beside all else; what fails is only told."""

    def __init__(self) -> None:
        self._task: asyncio.Task[list[str]] | None = None

    def begin(self, env: Environment, domid: int, *, runs: bool = True) -> None:
        """Begin; the caller goes on, and calls :meth:`end`.

        Args:
            env: Backend and deadlines.
            domid: Of a domain that is here.
            runs: It is not paused, so that its drivers will be connected.
        """
        work = _bounded(env, domid, runs=runs)
        self._task = asyncio.create_task(work, name="libxlpy announce")

    async def end(self) -> list[str]:
        """Wait until all is announced, bounded; give what could not be, and why."""
        task, self._task = self._task, None
        return [] if task is None else await task

    async def stop(self) -> None:
        """Have it ended, if :meth:`end` was not called."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


async def _bounded(env: Environment, domid: int, *, runs: bool) -> list[str]:
    seconds = env.deadlines.announce
    try:
        async with asyncio.timeout(seconds):
            failures, late = await _rounds(env, domid, patient=runs)
            return failures + late if runs else failures
    except TimeoutError:
        why = f"not done in {seconds:g} s (deadline announce)"
    except LibxlpyError as exc:
        why = str(exc)
    return [f"interfaces were not announced: {why}"]


async def _rounds(
    env: Environment, domid: int, *, patient: bool
) -> tuple[list[str], list[str]]:
    """Give what the last round has to tell: by then the early reasons are gone."""
    until = asyncio.get_running_loop().time() + env.deadlines.announce - LAST_ROUND
    found = await interfaces(env, domid)
    failures, late = await _round(env, found)
    for number in count() if found else ():
        if number >= len(PAUSES) and not (patient and late and _is_before(until)):
            break
        await asyncio.sleep(PAUSES[min(number, len(PAUSES) - 1)])
        failures, late = await _round(env, await interfaces(env, domid))
    return failures, late


def _is_before(moment: float) -> bool:
    return asyncio.get_running_loop().time() < moment


async def _round(
    env: Environment, found: list[Interface]
) -> tuple[list[str], list[str]]:
    """Announce all; give what could not be, and what was while nobody learned it."""
    failures, late = [], []
    for interface in found:
        try:
            if not await _announce(env, interface):
                late.append(f"interface {interface.number} {NOT_CONNECTED}")
        except BackendError as exc:
            failures.append(f"interface {interface.number} was not announced: {exc}")
    return failures, late


async def _announce(env: Environment, interface: Interface) -> bool:
    if interface.backend != DOM0:
        where = f"driver domain {interface.backend}"
        raise BackendError(f"its bridge is in {where}: announce it there")
    if not interface.mac or not interface.device:
        raise BackendError("xenstore has no MAC or no device name of it")
    frames = frames_of(interface.mac, interface.addresses)
    devices, mac = interface.devices, interface.mac
    send = env.deadlines.announce
    return await aside(lambda: announce_at(devices, mac, frames), send)
