"""The low level on real Xen: a toolstack that suspends and builds domains itself."""

import asyncio
from pathlib import Path

import pytest

from libxlpy.callbacks import RestoreCallbacks, SaveCallbacks
from libxlpy.context import Context
from libxlpy.errors import StreamError
from libxlpy.results.of_jobs import RestoreResult
from libxlpy.results.report import GuestState

from .bare_domain import BareDomain, bare_domain
from .restoring import fed
from .support import PATIENCE, Guest, assert_went_on, domains, domid_of, ok, settled

pytestmark = pytest.mark.xen

MEBIBYTES = 96  # as in the rig's pv.cfg


async def saved_by_callbacks(guest: Guest, file: Path) -> None:
    """Save a guest's memory; the test itself has it suspend."""
    domid = domid_of(guest)

    def suspended() -> bool:
        return "s" in domains()[guest.name]

    async def suspend() -> int:
        ok("xenstore-write", f"/local/domain/{domid}/control/shutdown", "suspend")
        return int(await asyncio.to_thread(settled, suspended, PATIENCE))

    async with Context() as ctx:
        with file.open("wb") as stream:
            job = await ctx.xc_domain_save(
                domid, stream.fileno(), SaveCallbacks(suspend=suspend)
            )
            await job


async def restored_into(
    domain: BareDomain, file: Path, missing: list[int]
) -> RestoreResult:
    """Restore memory into an empty domain; note what its stream did not have."""

    async def static_data_done(bits: int) -> int:
        missing.append(bits)
        return 0

    async with Context() as ctx:
        with file.open("rb") as stream:
            job = await ctx.xc_domain_restore(
                domain.domid,
                stream.fileno(),
                RestoreCallbacks(static_data_done=static_data_done),
                rings=domain.rings,
            )
            return await job


def test_own_toolstack_moves_a_guest(make_guest, saved: Path) -> None:
    """A stream that ends too early is told; the whole one brings the guest back."""
    guest = make_guest("pv")
    before = guest.ticks()
    asyncio.run(saved_by_callbacks(guest, saved))
    guest.destroy()

    missing: list[int] = []
    half = saved.with_name("half")
    half.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    with bare_domain("half", MEBIBYTES) as domain:
        with pytest.raises(StreamError) as told:
            asyncio.run(restored_into(domain, half, missing))
        assert told.value.guest is GuestState.PAUSED
        assert missing == []  # a file is looked through first
        with fed(half) as pipe, pytest.raises(StreamError) as told:
            asyncio.run(restored_into(domain, pipe, missing))
    half.unlink()
    assert told.value.guest is GuestState.PAUSED

    with bare_domain(guest.name, MEBIBYTES) as domain:
        result = asyncio.run(restored_into(domain, saved, missing))
        assert result.store_gfn
        assert result.console_gfn
        assert missing == [0, 0]
        domain.go_on(result.store_gfn, result.console_gfn)
        assert_went_on(before, guest.next_ticks(2))
