"""A domain gets another name: in xenstore, for the host, for whoever asks."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from libxlpy import (
    Context,
    Deadlines,
    DomainNotFound,
    SuspendFlags,
    UsageError,
    XenstoreError,
)
from libxlpy.domain import hypercalls, requests
from libxlpy.errors import DomainReused
from libxlpy.simxen.client import request
from libxlpy.simxen.errors import SimxenError
from libxlpy.xenstore import connect
from tests.support.failing import outcome
from tests.support.guest import Guest, aside
from tests.support.real_host import QUICK

OTHER_UUID = "0b2ff1c0-5a4e-4a5f-9f6a-111111111111"


@pytest.fixture
def second(host: Path) -> Iterator[Guest]:
    with Guest(host, "pvh") as made:
        yield made


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Have something done once, between what a rename reads and what it writes."""

    def have(function: Callable[[], Any]) -> None:
        left, list_facts = [function], hypercalls.list_facts

        async def disturbed(ops: Any) -> Any:
            found = await list_facts(ops)
            if left:
                await aside(left.pop())
            return found

        monkeypatch.setattr(hypercalls, "list_facts", disturbed)

    return have


async def names(ctx: Context, guest: Guest) -> set[str]:
    """Give all that a guest is called, wherever one looks."""
    facts = await aside(guest.facts)
    config = json.loads(await ctx.retrieve_config(guest.domid))
    domains = {each.domid: each.name for each in await ctx.list_domains()}
    async with connect(ctx.backend.xenstore_socket, timeout=10.0) as store:
        vm = await store.read_text(f"/vm/{facts['uuid']}/name")
    return {facts["name"], config["c_info"]["name"], domains[guest.domid], vm}


async def test_the_name_is_another_one_everywhere(ctx: Context, guest: Guest):
    new = f"{guest.name}--migratedaway"
    uuid = (await aside(guest.facts))["uuid"]
    await ctx.domain_rename(guest.domid, new, uuid=uuid)
    assert await names(ctx, guest) == {new}
    assert await ctx.resolve(new) == guest.domid
    with pytest.raises(DomainNotFound):
        await ctx.resolve(guest.name)
    await ctx.domain_rename(guest.domid, new)  # as it is
    assert await names(ctx, guest) == {new}


async def test_the_old_name_is_free_and_the_new_one_is_not(
    ctx: Context, host: Path, pv: Guest
):
    def create(name: str) -> int:
        return request(host, "create", name=name, memory_mib=4)["domid"]

    await ctx.domain_rename(pv.domid, f"{pv.name}-b")
    with pytest.raises(SimxenError, match=f"'{pv.name}-b' is taken by domain"):
        await aside(create, f"{pv.name}-b")
    domid = await aside(create, pv.name)
    await ctx.domain_destroy(domid)


async def test_name_of_another_domain_is_refused(
    ctx: Context, pv: Guest, second: Guest
):
    taken = f"name '{second.name}' is taken by domain {second.domid}"
    with pytest.raises(UsageError, match=taken):
        await ctx.domain_rename(pv.domid, second.name)
    assert await names(ctx, pv) == {pv.name}


@pytest.mark.parametrize("name", ["", "7", "a b", "a\0b", "x" * 64])
async def test_what_can_be_no_name_is_refused(ctx: Context, pv: Guest, name: str):
    with pytest.raises(UsageError, match="name must be letters, digits"):
        await ctx.domain_rename(pv.domid, name)
    assert await names(ctx, pv) == {pv.name}


async def test_only_the_domain_that_is_meant_is_renamed(ctx: Context, pv: Guest):
    with pytest.raises(DomainNotFound):
        await ctx.domain_rename(4711, "none")
    with pytest.raises(DomainReused):
        await ctx.domain_rename(pv.domid, "none", uuid=OTHER_UUID)
    with pytest.raises(UsageError, match=f"is called '{pv.name}', not 'web': left"):
        await requests.rename(ctx._env(), pv.domid, "none", old="web")
    assert await names(ctx, pv) == {pv.name}
    for _ in range(2):  # the second time all is done: the answer may have been lost
        await requests.rename(ctx._env(), pv.domid, f"{pv.name}-c", old=pv.name)
    assert await names(ctx, pv) == {f"{pv.name}-c"}


async def test_nodes_of_another_domain_are_not_written(ctx: Context, pv: Guest):
    await aside(pv.write_node, "vm", f"/vm/{OTHER_UUID}".encode())
    with pytest.raises(DomainReused):
        await ctx.domain_rename(pv.domid, "none")
    async with connect(ctx.backend.xenstore_socket, timeout=10.0) as store:
        assert await store.read_text(f"/local/domain/{pv.domid}/name") == pv.name
        await store.remove(f"/local/domain/{pv.domid}")
        with pytest.raises(DomainNotFound):
            await ctx.domain_rename(pv.domid, "none")
        assert await store.read(f"/local/domain/{pv.domid}") is None


async def test_domain_that_somebody_works_on_is_renamed(
    ctx: Context, pv: Guest, full_pipe: int
):
    job = await ctx.domain_suspend(pv.domid, full_pipe, SuspendFlags.LIVE)
    await ctx.domain_rename(pv.domid, f"{pv.name}-d")
    await job.cancel()
    await outcome(job)
    assert await names(ctx, pv) == {f"{pv.name}-d"}
    await aside(pv.assert_untouched)


# ----- disturbed ----------------------------------------------------------------------


async def test_name_that_another_domain_gets_meanwhile_is_not_given_twice(
    ctx: Context, pv: Guest, second: Guest, meanwhile: Callable[..., None]
):
    meanwhile(lambda: second.write_node("name", b"wanted"))
    with pytest.raises(UsageError, match=f"'wanted' is taken by domain {second.domid}"):
        await ctx.domain_rename(pv.domid, "wanted")
    assert await names(ctx, pv) == {pv.name}


async def test_domain_that_comes_meanwhile_keeps_its_name(
    ctx: Context, pv: Guest, meanwhile: Callable[..., None]
):
    made: list[int] = []

    def create() -> None:
        answer = request(pv.host, "create", name="wanted", memory_mib=4)
        made.append(answer["domid"])

    meanwhile(create)
    with pytest.raises(UsageError, match="'wanted' is taken by domain"):
        await ctx.domain_rename(pv.domid, "wanted")
    await ctx.domain_destroy(made[0])
    assert await names(ctx, pv) == {pv.name}


async def test_xenstored_that_restarts_is_told_again(
    own_host: Path, nothing_blocks: None, meanwhile: Callable[..., None]
):
    guest = await aside(Guest, own_host, "pv")
    meanwhile(lambda: request(own_host, "xenstored", fault="restart"))
    async with Context("simxen", own_host, QUICK) as ctx:
        await ctx.domain_rename(guest.domid, "web")
        assert await names(ctx, guest) == {"web"}


async def test_xenstored_that_falls_silent_is_not_waited_for_long(
    own_host: Path, nothing_blocks: None, meanwhile: Callable[..., None]
):
    guest = await aside(Guest, own_host, "pv")
    meanwhile(lambda: request(own_host, "xenstored", fault="silent"))
    async with Context("simxen", own_host, Deadlines(xenstore=0.5)) as ctx:
        with pytest.raises(XenstoreError, match=r"did not answer READ in 0\.5 s"):
            await ctx.domain_rename(guest.domid, "web")
        await aside(lambda: request(own_host, "xenstored", fault=""))
        assert await names(ctx, guest) == {guest.name}


async def test_rename_that_is_disturbed_for_ever_ends(
    ctx: Context, pv: Guest, monkeypatch: pytest.MonkeyPatch
):
    async def never(ops: Any) -> None:
        await asyncio.sleep(60.0)

    monkeypatch.setattr(hypercalls, "list_facts", never)
    short = Deadlines(xenstore=0.2, domain_op=0.2)
    with pytest.raises(XenstoreError, match=r"was not renamed to 'web' in 0\.6 s"):
        await requests.rename(ctx._env(short), pv.domid, "web")
    monkeypatch.undo()
    assert await names(ctx, pv) == {pv.name}
