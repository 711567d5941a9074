"""What comes with a migration whose sender is played, and what is left of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libxlpy import Context, DomainInfo
from libxlpy.journal import Folder
from libxlpy.simxen import client
from libxlpy.streams.xl import pack_header
from tests.support.guest import Guest, aside


@pytest.fixture(params=["pv", "hvm"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def image(
    host: Path, ctx: Context, tmp_path: Path, kind: str
) -> AsyncIterator[Path]:
    """Give a saved domain that is no more; what becomes of it is destroyed."""
    path = tmp_path / "image"
    before = {info.domid for info in await ctx.list_domains()}
    with Guest(host, kind, rate=100) as guest, path.open("ab") as file:
        config = await ctx.retrieve_config(guest.domid)
        await aside(path.write_bytes, pack_header(config, json=True))
        await (await ctx.domain_suspend(guest.domid, file.fileno()))
        await ctx.domain_destroy(guest.domid)
    yield path
    for info in await ctx.list_domains():
        if info.domid not in before:
            await aside(destroy, host, info.domid)
            with Folder(host / "jobs").lock(info.domid) as lock:
                lock.forget()


@pytest.fixture
async def before(ctx: Context) -> set[int]:
    """Give the domids of those that were there before."""
    return {info.domid for info in await ctx.list_domains()}


def destroy(host: Path, domid: int) -> None:
    client.request(host, "destroy", domid=domid)


async def new(ctx: Context, before: set[int]) -> list[DomainInfo]:
    return [info for info in await ctx.list_domains() if info.domid not in before]
