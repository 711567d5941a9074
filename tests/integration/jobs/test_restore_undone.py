"""A domain made for a restore that can't be removed is told, and left for recover."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from libxlpy import BackendError, Context, GuestState, HelperCrashed, Outcome
from libxlpy.domain.toolstack_simxen import SimxenToolstack
from libxlpy.jobs.registry import Jobs
from libxlpy.operations.restore_simxen import SimxenRestore
from libxlpy.process.environment import HypercallHelpers
from libxlpy.simxen.client import request
from tests.support.guest import Guest, aside
from tests.support.real_host import QUICK
from tests.support.simxen_clients import until

REMOVE = SimxenToolstack.remove
WHY = "the host is out of order"


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No domain can be removed meanwhile."""

    async def remove(*_: object) -> None:
        raise BackendError(WHY)

    monkeypatch.setattr(SimxenToolstack, "remove", remove)


async def image_of(ctx: Context, guest: Guest, path: Path) -> bytes:
    config = await ctx.retrieve_config(guest.domid)
    with await aside(lambda: path.open("wb")) as file:
        await (await ctx.domain_suspend(guest.domid, file.fileno()))
    await ctx.domain_resume(guest.domid)
    return config


async def begun(ctx: Context, path: Path, config: bytes) -> "asyncio.Future[object]":
    with await aside(lambda: path.open("rb")) as file:
        job = await ctx.domain_restore(file.fileno(), config=config, name="copy")
    return asyncio.ensure_future(job)


def domids(host: Path) -> set[int]:
    return {each["domid"] for each in request(host, "list")["domains"]}


@asynccontextmanager
async def unheard(*_: object) -> AsyncIterator[None]:
    raise BackendError("no hypervisor")
    yield


@pytest.mark.usefixtures("stubborn")
@pytest.mark.parametrize("asked", ["", "no hypervisor"])
async def test_what_a_restore_without_helper_made_is_left_for_recover(
    own_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
):
    guest, path = Guest(own_host, "pv"), tmp_path / "image"
    nothing = ["/nonexistent/helper"]
    async with Context("simxen", own_host, QUICK) as ctx:
        config = await image_of(ctx, guest, path)
    async with Context("simxen", own_host, QUICK) as ctx:
        with monkeypatch.context() as without:
            without.setattr(SimxenRestore, "argv", lambda _self: nothing)
            if asked:
                without.setattr(HypercallHelpers, "use", unheard)
            with pytest.raises(HelperCrashed) as caught:
                await (await begun(ctx, path, config))
        error = caught.value
        assert f"half-built domain destroyed: FAILED: {WHY}" in error.repairs
        state = GuestState.UNKNOWN if asked else GuestState.PAUSED
        assert error.guest is state
        assert error.unfinished is not None
        monkeypatch.setattr(SimxenToolstack, "remove", REMOVE)
        (found,) = await ctx.recover()
        assert found.outcome is Outcome.ROLLED_BACK
        assert await ctx.recover() == []
    assert await aside(lambda: domids(own_host)) == {guest.domid}
    await aside(guest.destroy)


@pytest.mark.usefixtures("stubborn")
async def test_what_no_job_has_taken_is_told_and_removed_by_its_host(
    own_host: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def refuse(*_: object) -> None:
        raise BackendError("nothing can be written down")

    guest, path = Guest(own_host, "pv"), tmp_path / "image"
    async with Context("simxen", own_host, QUICK) as ctx:
        config = await image_of(ctx, guest, path)
        monkeypatch.setattr(Jobs, "_begin", refuse)
        with pytest.raises(BackendError, match="nothing can be written down"):
            await begun(ctx, path, config)
    assert f"half-built domain destroyed: FAILED: {WHY}" in caplog.text
    await aside(lambda: until(lambda: domids(own_host) == {guest.domid}))
    await aside(guest.destroy)
