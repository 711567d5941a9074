"""A domain that migrates to its own host is there twice for a moment, with one uuid."""

from pathlib import Path

from libxlpy import Context, GuestState, SuspendFlags
from libxlpy.operations.restore import restore
from libxlpy.operations.restore_target import Wanted
from tests.support.guest import Guest, aside, saved_and_resumed


async def test_it_keeps_its_uuid_and_the_two_are_told_apart(
    ctx: Context, guest: Guest, tmp_path: Path
):
    uuid = (await aside(guest.facts))["uuid"]
    incoming, config = f"{guest.name}--incoming", await ctx.retrieve_config(guest.domid)
    with (tmp_path / "image").open("w+b") as file:
        fd = file.fileno()
        await (await ctx.domain_suspend(guest.domid, fd, SuspendFlags.LIVE))
        file.seek(0)
        wanted = Wanted(config=config, name=incoming, paused=True, keep_uuid=True)
        result = await (await ctx._jobs.start(restore(ctx._env(), wanted), fd))
    assert result.guest is GuestState.PAUSED
    first, second = guest.domid, result.domid
    uuids = {each.domid: each.uuid for each in await ctx.list_domains()}
    assert uuids[first] == uuids[second] == uuid

    await ctx.domain_rename(first, f"{guest.name}--migratedaway", uuid=uuid)
    await ctx.domain_rename(second, guest.name, uuid=uuid)
    await ctx.domain_destroy(first, uuid=uuid)
    await ctx.domain_unpause(second, uuid=uuid)
    [left] = [each for each in await ctx.list_domains() if each.uuid == uuid]
    assert (left.domid, left.name, left.paused) == (second, guest.name, False)
    guest.domid = second
    await aside(guest.assert_untouched)
    await saved_and_resumed(ctx, guest)
    await aside(guest.assert_working)


async def test_a_copy_gets_another(ctx: Context, pv: Guest, tmp_path: Path):
    uuid = (await aside(pv.facts))["uuid"]
    config = await ctx.retrieve_config(pv.domid)
    with (tmp_path / "image").open("w+b") as file:
        await (await ctx.domain_suspend(pv.domid, file.fileno()))
        file.seek(0)
        job = await ctx.domain_restore(file.fileno(), config=config, name="copy")
        result = await job
    await ctx.domain_resume(pv.domid)
    domains = [each for each in await ctx.list_domains() if each.uuid == uuid]
    assert [each.domid for each in domains] == [pv.domid]
    await ctx.domain_destroy(result.domid)
