"""Each way in which `xl migrate` can fail a receiver: what is left here."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from libxlpy import (
    Context,
    GuestState,
    JobError,
    MigrationOpen,
    Outcome,
    PeerFailed,
    RestoreResult,
    StreamError,
    TimedOut,
    UsageError,
)
from libxlpy.domain import requests
from libxlpy.errors import BackendError
from libxlpy.streams.xl import pack_header
from libxlpy.xenstore import connect
from libxlpy_protocol.migration.xl import GO, READY, RECEIVED, REPORT
from tests.support.arriving import destroy, new
from tests.support.guest import Guest, aside
from tests.support.interfaces import libxl_nodes
from tests.support.peers import Peer
from tests.support.real_host import QUICK

DEADLINES = QUICK.replace(peer_ready=1.0, peer_built=1.0, peer_answer=1.0)
Script = Callable[[Peer], Awaitable[None]]
RAN = REPORT + b"\0"
DID_NOT = REPORT + b"\xff"


async def receive(
    ctx: Context, script: Script, *, paused: bool = False
) -> RestoreResult:
    """Receive from a peer that follows a script."""
    async with Peer.connected() as (peer, theirs):
        playing = asyncio.create_task(script(peer))
        try:
            fd = theirs.fileno()
            job = await ctx.domain_receive(fd, fd, paused=paused, deadlines=DEADLINES)
            result = await job
            theirs.close()
            await playing
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
    return result


@pytest.mark.parametrize("paused", [False, True])
async def test_domain_that_is_given_runs(
    ctx: Context, image: Path, before: set[int], *, paused: bool
):
    async def good(peer: Peer) -> None:
        await peer.hear(READY)
        await peer.say(await aside(image.read_bytes))
        await peer.hear(RECEIVED)
        (info,) = await new(ctx, before)
        assert info.paused
        assert info.name.endswith("--incoming")
        await peer.say(GO)
        await peer.hear(RAN)
        assert await peer.ends() == b""

    result = await receive(ctx, good, paused=paused)
    (info,) = await new(ctx, before)
    assert result.guest is (GuestState.PAUSED if paused else GuestState.RUNNING)
    assert info.name == result.name
    assert "--" not in info.name
    assert info.paused is paused
    assert await ctx.list_jobs() == []


async def test_interface_that_can_t_be_announced_keeps_no_domain_from_running(
    ctx: Context, host: Path, image: Path, before: set[int]
):
    async def good(peer: Peer) -> None:
        await peer.hear(READY)
        await peer.say(await aside(image.read_bytes))
        await peer.hear(RECEIVED)
        (info,) = await new(ctx, before)
        async with connect(host / "xenstored.sock", timeout=5.0) as store:
            for path, value in libxl_nodes(info.domid).items():
                await store.write(path, value.encode())
        await peer.say(GO)
        await peer.hear(RAN)
        (info,) = await new(ctx, before)
        assert not info.paused

    result = await receive(ctx, good)
    assert result.guest is GuestState.RUNNING
    (remark,) = result.report.remarks
    assert "interface 0 was not announced: there is no device" in remark
    assert f"remark: {remark}" in result.report.lines()
    assert await ctx.list_jobs() == []


@pytest.mark.parametrize(
    ("sent", "error", "words"),
    [
        pytest.param(b"", PeerFailed, "the connection has ended", id="nothing"),
        pytest.param(b"x" * 48, PeerFailed, "magic", id="other"),
        pytest.param(pack_header(b"{}", json=True), UsageError, "c_info", id="config"),
    ],
)
async def test_sender_that_says_no_domain_leaves_nothing(
    ctx: Context, before: set[int], sent: bytes, error: type[Exception], words: str
):
    async def script(peer: Peer) -> None:
        await peer.hear(READY)
        await peer.say(sent)
        peer.writer.write_eof()

    with pytest.raises(error, match=words):
        await receive(ctx, script)
    assert await new(ctx, before) == []


async def test_name_that_another_domain_has_is_refused_at_once(
    ctx: Context, host: Path, image: Path
):
    head = await aside(lambda: image.read_bytes()[:4096])
    name = json.loads(head[52 : head.index(b"\0", 52)])["c_info"]["name"]

    async def script(peer: Peer) -> None:
        await peer.hear(READY)
        await peer.say(head)

    with Guest(host, "pv") as other:
        await ctx.domain_rename(other.domid, name)
        with pytest.raises(UsageError, match=f"{name} is taken"):
            await receive(ctx, script)


async def test_sender_that_is_silent_is_not_waited_for(ctx: Context, before: set[int]):
    async def script(peer: Peer) -> None:
        await peer.hear(READY)
        await asyncio.Event().wait()

    with pytest.raises(TimedOut, match="peer_answer"):
        await receive(ctx, script)
    assert await new(ctx, before) == []


async def test_stream_that_is_cut_leaves_nothing(
    ctx: Context, image: Path, before: set[int]
):
    async def script(peer: Peer) -> None:
        await peer.hear(READY)
        await peer.say((await aside(image.read_bytes))[:-4])
        peer.writer.write_eof()
        assert await peer.ends() == b"", "it was said to be received"

    with pytest.raises(StreamError):
        await receive(ctx, script)
    assert await new(ctx, before) == []
    assert await ctx.list_jobs() == []


async def test_copy_that_nobody_can_be_told_of_is_destroyed(
    ctx: Context, image: Path, before: set[int]
):
    async def script(peer: Peer) -> None:
        await peer.hear(READY)
        peer.stop_listening()
        await peer.say(await aside(image.read_bytes))

    with pytest.raises(PeerFailed, match="could not be told") as caught:
        await receive(ctx, script)
    assert caught.value.repairs[0] == "copy destroyed"
    assert await new(ctx, before) == []
    assert await ctx.list_jobs() == []


async def end(peer: Peer) -> None:
    peer.writer.write_eof()


async def other(peer: Peer) -> None:
    await peer.say(b"domain is mine\n".ljust(len(GO), b"!"))


async def half(peer: Peer) -> None:
    await peer.say(GO[:-1])
    peer.writer.write_eof()


async def nothing(peer: Peer) -> None:
    pass


@pytest.mark.parametrize("then", [end, other, half, nothing])
async def test_copy_that_was_not_given_stays_paused_and_is_told(
    ctx: Context, image: Path, before: set[int], then: Script
):
    async def script(peer: Peer) -> None:
        await peer.hear(READY)
        await peer.say(await aside(image.read_bytes))
        await peer.hear(RECEIVED)
        await then(peer)
        await asyncio.Event().wait()

    with pytest.raises(MigrationOpen) as caught:
        await receive(ctx, script)
    (info,) = await new(ctx, before)
    assert info.paused
    assert info.name.endswith("--incoming")
    assert caught.value.guest is GuestState.PAUSED
    (found,) = await ctx.recover()
    assert found.outcome is Outcome.OPEN
    assert [x.domid for x in await new(ctx, before)] == [info.domid]


async def test_copy_that_runs_stays_whatever_the_sender_hears(
    ctx: Context, image: Path, before: set[int]
):
    async def script(peer: Peer) -> None:
        await peer.hear(READY)
        await peer.say(await aside(image.read_bytes))
        await peer.hear(RECEIVED)
        peer.stop_listening()
        await peer.say(GO)

    result = await receive(ctx, script)
    assert result.guest is GuestState.RUNNING
    (info,) = await new(ctx, before)
    assert info.name == result.name


@pytest.mark.parametrize("times", [1, 2])
async def test_name_that_could_not_be_given_is_given_later(
    ctx: Context,
    image: Path,
    before: set[int],
    monkeypatch: pytest.MonkeyPatch,
    times: int,
):
    rename, tried = requests.rename, []

    async def fails(*arguments: Any, **named: Any) -> None:
        tried.append(arguments)
        if len(tried) <= times:
            raise BackendError("the helper is gone")
        await rename(*arguments, **named)

    async def script(peer: Peer) -> None:
        await peer.hear(READY)
        await peer.say(await aside(image.read_bytes))
        await peer.hear(RECEIVED)
        await peer.say(GO)
        await peer.hear(RAN)

    monkeypatch.setattr(requests, "rename", fails)
    await receive(ctx, script)
    if times == 2:
        assert (await new(ctx, before))[0].name.endswith("--incoming")
        (found,) = await ctx.recover()
        assert found.outcome is Outcome.FINISHED
    (info,) = await new(ctx, before)
    assert "--" not in info.name
    assert await ctx.list_jobs() == []


async def test_copy_that_can_t_run_is_destroyed_and_the_sender_s_may_run(
    ctx: Context, host: Path, image: Path, before: set[int]
):
    async def script(peer: Peer) -> None:
        await peer.hear(READY)
        await peer.say(await aside(image.read_bytes))
        await peer.hear(RECEIVED)
        (info,) = await new(ctx, before)
        await aside(lambda: destroy(host, info.domid))
        await peer.say(GO)
        await peer.hear(DID_NOT)
        await peer.hear(GO)

    with pytest.raises(JobError):
        await receive(ctx, script)
    assert await new(ctx, before) == []
    assert await ctx.list_jobs() == []
