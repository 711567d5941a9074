"""A guest and its backup on real Xen: libxenlight holds each epoch, and takes over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from libxlpy import Context, JobError

from .migrating import INCOMING, known
from .protecting import SLOW, Pair
from .support import CONSOLES, Guest, assert_went_on

pytestmark = pytest.mark.xen

EPOCHS = 3


@asynccontextmanager
async def protected(guest: Guest) -> AsyncIterator[Pair]:
    """Give a pair whose guest is protected."""
    async with Context("xen", deadlines=SLOW) as ctx:
        pair = Pair(ctx, guest)
        try:
            await pair.begin()
            await pair.protected(EPOCHS)
            yield pair
        finally:
            pair.close()


def assert_here(guest: Guest, before: list, *, domid: int, moved: bool) -> None:
    """Check that it goes on, in one place."""
    now = known()
    assert now.keys() == {guest.name}
    assert (now[guest.name].domid != domid) is moved
    if moved:
        guest.console = CONSOLES / f"guest-{guest.name}{INCOMING}.log"
    assert_went_on(before, guest.next_ticks(2))


@pytest.mark.parametrize("kind", ["pvh", "pv", "hvm"])
def test_backup_goes_on_once_the_primary_is_gone(make_guest, kind: str) -> None:
    guest = make_guest(kind)

    async def work() -> tuple[list, int]:
        async with protected(guest) as pair:
            before = await asyncio.to_thread(guest.next_ticks, 2)
            await pair.protected(EPOCHS)
            pair.cut()
            with pytest.raises(JobError):
                await pair.protection
            result = await pair.copy
            print(result.report, pair.backup.held, pair.protect.figures)
            return before, pair.domid

    before, domid = asyncio.run(work())
    assert_here(guest, before, domid=domid, moved=True)


def test_silent_primary_is_failed_over_from(make_guest) -> None:
    """Its stream stays open: the save helper is told that it is at its end."""
    guest = make_guest("pvh")

    async def work() -> tuple[list, int]:
        async with protected(guest) as pair:
            before = await asyncio.to_thread(guest.next_ticks, 2)
            await pair.protected(EPOCHS)
            pair.control.shutdown(2)
            with pytest.raises(JobError):
                await pair.protection
            await pair.copy
            return before, pair.domid

    before, domid = asyncio.run(work())
    assert_here(guest, before, domid=domid, moved=True)


@pytest.mark.parametrize("ending", ["stop", "switch_over"])
def test_protection_that_is_ended(make_guest, ending: str) -> None:
    guest = make_guest("pvh")

    async def work() -> tuple[list, int]:
        async with protected(guest) as pair:
            before = await asyncio.to_thread(guest.next_ticks, 2)
            getattr(pair.protect, ending)()
            await pair.protection
            if ending == "switch_over":
                await pair.copy
            else:
                with pytest.raises(JobError):
                    await pair.copy
            return before, pair.domid

    before, domid = asyncio.run(work())
    assert_here(guest, before, domid=domid, moved=ending == "switch_over")
