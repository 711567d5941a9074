"""A receiver in our own handshake: what each way in which its sender fails leaves."""

import asyncio
import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from libxlpy import (
    ConfigRefused,
    Context,
    DryRun,
    GuestState,
    JobError,
    Landing,
    MigrationHooks,
    MigrationOpen,
    MigrationRefused,
    Outcome,
    PeerFailed,
    Refusal,
    RestoreResult,
    TimedOut,
)
from libxlpy.migration.handing import hand_in
from libxlpy.migration.host_facts import host_facts
from libxlpy_protocol.messages import Message
from libxlpy_protocol.migration.own import (
    READY,
    VERSION,
    Accept,
    Beat,
    GiveUp,
    Go,
    GoPaused,
    Offer,
    Permission,
    Received,
    Refuse,
    Report,
    encode,
)
from tests.support.arriving import destroy, new
from tests.support.guest import Guest, aside
from tests.support.own_peer import DEADLINES, OwnPeer
from tests.support.own_sender import Saved, Script, offered, receive


@pytest.fixture
async def saved(image: Path) -> Saved:
    return await aside(lambda: Saved(image))


async def sent(peer: OwnPeer, saved: Saved) -> None:
    """Go through all up to RECEIVED."""
    await offered(peer, saved.offer())
    await peer.told(Accept)
    await peer.give_stream(saved.stream)
    await peer.told(Received)


async def test_domain_that_is_given_runs(ctx: Context, saved: Saved, before: set[int]):
    async def good(peer: OwnPeer) -> None:
        await sent(peer, saved)
        (info,) = await new(ctx, before)
        assert info.paused
        assert info.name.endswith("--incoming")
        await peer.tell(Go())
        assert (await peer.told(Report)).runs

    result = await receive(ctx, good)
    (info,) = await new(ctx, before)
    assert result.guest is GuestState.RUNNING
    assert info.name == result.name
    assert "--" not in info.name


async def test_domain_that_was_paused_stays_so(
    ctx: Context, saved: Saved, before: set[int]
):
    async def good(peer: OwnPeer) -> None:
        await sent(peer, saved)
        await peer.tell(GoPaused())
        assert (await peer.told(Report)).runs

    result = await receive(ctx, good)
    (info,) = await new(ctx, before)
    assert result.guest is GuestState.PAUSED
    assert (info.paused, info.name) == (True, result.name)
    assert await ctx.list_jobs() == []


async def test_who_only_asks_is_answered_and_nothing_is_done(
    ctx: Context, saved: Saved, before: set[int], tmp_path: Path
):
    """Not even hooks are run."""
    heard: list[Accept] = []
    await aside(lambda: add_hook(tmp_path))

    async def script(peer: OwnPeer) -> None:
        await offered(peer, saved.offer(dry_run=True))
        heard.append(await peer.told(Accept))

    with pytest.raises(DryRun, match="could come here, and nothing was done"):
        await receive(ctx, script, hooks=MigrationHooks(tmp_path / "hooks"))
    assert heard[0].landing == ""
    assert await new(ctx, before) == []
    assert not await aside((tmp_path / "was-run").exists)


def add_hook(folder: Path) -> None:
    """Make a folder of hooks, of which the only one notes that it is run."""
    (folder / "hooks").mkdir(0o755)
    hook = folder / "hooks" / "10-it"
    hook.write_text(f"#!/bin/sh\n>{folder}/was-run\n")
    hook.chmod(0o755)


@pytest.mark.parametrize("newer", [0, 1])
async def test_one_version_more_is_spoken_as_ours(
    ctx: Context, saved: Saved, before: set[int], newer: int
):
    """A sender of the next version has fields that are not for us."""
    frame = encode(saved.offer(version=VERSION, min_version=VERSION))
    accepted: list[Accept] = []

    async def script(peer: OwnPeer) -> None:
        await peer.hear(READY)
        await peer.say(with_version(frame, VERSION + newer, more=newer))
        accepted.append(await peer.told(Accept))
        await peer.tell(GiveUp("that is all"))
        await asyncio.Event().wait()

    with pytest.raises(PeerFailed, match="that is all"):
        await receive(ctx, script)
    assert accepted[0].version == VERSION
    assert await new(ctx, before) == []


def with_version(frame: bytes, version: int, *, more: int) -> bytes:
    """Give an offer as one of another version, with more fields behind ours."""
    body = bytearray(frame[4:])
    assert body[0] >> 4 == 9, "a short array"
    body[0] += more
    assert (body[1], body[2]) == (1, VERSION)
    body[2] = version
    body += b"\xa3new" * more
    return len(body).to_bytes(4, "big") + bytes(body)


def other_vendor(saved: Saved) -> Offer:
    return saved.offer(vendor="SomebodyElse")


def no_config(saved: Saved) -> Offer:
    return saved.offer(config=b"{}")


def too_new(saved: Saved) -> Offer:
    return saved.offer(version=VERSION + 9, min_version=VERSION + 8)


def taken_domid(saved: Saved) -> Offer:
    config = json.loads(saved.config.rstrip(b"\0"))
    config["c_info"]["domid"] = saved.taken
    return saved.offer(config=json.dumps(config).encode())


@pytest.mark.parametrize(
    ("offer", "refusal", "words"),
    [
        (taken_domid, Refusal.NAME, "which it is to keep, is taken by"),
        (other_vendor, Refusal.CPU, "SomebodyElse"),
        (no_config, Refusal.CONFIG, "c_info"),
        (too_new, Refusal.VERSION, "versions"),
    ],
)
async def test_domain_that_can_t_run_here_is_refused_before_it_comes(
    ctx: Context,
    pv: Guest,
    saved: Saved,
    before: set[int],
    offer: Callable[[Saved], Offer],
    refusal: Refusal,
    words: str,
):
    heard: list[Refuse] = []
    assert (await host_facts(ctx.backend)).vendor
    saved.taken = pv.domid

    async def script(peer: OwnPeer) -> None:
        await offered(peer, offer(saved))
        heard.append(await peer.told(Refuse))

    with pytest.raises(Exception, match=words):
        await receive(ctx, script)
    assert heard[0].refusal is refusal
    assert words in heard[0].text
    assert await new(ctx, before) == []


@pytest.mark.parametrize(
    ("added", "words"),
    [("", "is taken"), ("--incoming", "`xlpy migrate --resolve .+ HOST`, on either")],
)
async def test_name_that_another_domain_has_is_refused(
    ctx: Context, host: Path, saved: Saved, added: str, words: str
):
    """One that a migration has left is told with what settles it."""
    name = json.loads(saved.config.rstrip(b"\0"))["c_info"]["name"]
    heard: list[Refuse] = []

    async def script(peer: OwnPeer) -> None:
        await offered(peer, saved.offer())
        heard.append(await peer.told(Refuse))

    with Guest(host, "pv") as other:
        await ctx.domain_rename(other.domid, name + added)
        with pytest.raises(MigrationRefused, match=words) as caught:
            await receive(ctx, script)
    assert heard[0].refusal is Refusal.NAME
    assert heard[0].text == str(caught.value)
    assert name + added in heard[0].text


@pytest.mark.parametrize("here", [False, True])
async def test_domain_that_is_here_too_is_refused_unless_it_comes_from_here(
    ctx: Context, host: Path, saved: Saved, before: set[int], *, here: bool
):
    heard: list[object] = []
    ours = (await host_facts(ctx.backend)).host

    async def script(peer: OwnPeer) -> None:
        (info,) = [x for x in await ctx.list_domains() if x.domid == other.domid]
        own = uuid.UUID(info.uuid).bytes
        changes = {"uuid": own, "host": ours if here else uuid.uuid4().bytes}
        await offered(peer, saved.offer(**changes))
        heard.append(await peer.told(Accept if here else Refuse))
        await peer.tell(GiveUp("that is all"))
        await asyncio.Event().wait()

    with Guest(host, "pv") as other:
        with pytest.raises((MigrationRefused, PeerFailed)) as caught:
            await receive(ctx, script)
        if not here:
            assert isinstance(caught.value, MigrationRefused)
            assert caught.value.refusal is Refusal.UUID
    assert len(heard) == 1
    assert await new(ctx, before) == []


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("c_info", "type", "xen", "c_info type is 'xen', none of pv, hvm, pvh"),
        ("c_info", "type", None, "c_info type is None"),
        ("c_info", "uuid", 5, "c_info uuid is 5, no text"),
        ("c_info", "uuid", "x", "uuid 'x' of the configuration is none"),
        ("c_info", "name", "a\0b", "can't be a domain's name"),
        ("c_info", "name", "123", "must be letters"),
        ("b_info", "max_memkb", "16384", "b_info max_memkb is '16384', no number"),
        ("b_info", "max_memkb", -1, "b_info max_memkb is -1, no number"),
        ("b_info", "max_memkb", 1, "memory_mib must be"),
        ("b_info", "max_vcpus", 1000, "vcpus must be"),
        ("", "b_info", [], "it has no b_info"),
        ("", "disks", {}, "disks is {}, no list of objects"),
        ("", "nics", [1], "nics is [1], no list of objects"),
    ],
)
async def test_configuration_of_an_odd_shape_is_refused_as_one(
    ctx: Context,
    saved: Saved,
    before: set[int],
    part: str,
    key: str,
    value: object,
    words: str,
):
    heard: list[Refuse] = []
    config = json.loads(saved.config.rstrip(b"\0"))
    (config[part] if part else config)[key] = value

    async def script(peer: OwnPeer) -> None:
        await offered(peer, saved.offer(config=json.dumps(config).encode()))
        heard.append(await peer.told(Refuse))

    with pytest.raises(ConfigRefused, match=re.escape(words)):
        await receive(ctx, script)
    assert heard[0].refusal is Refusal.CONFIG
    assert words in heard[0].text
    assert await new(ctx, before) == []


@pytest.mark.parametrize("here", [False, True])
async def test_uuid_of_the_configuration_is_looked_at_too(
    ctx: Context, host: Path, saved: Saved, before: set[int], *, here: bool
):
    """The domain is made with that one: `-C` may give another than the offer has."""
    heard: list[Refuse] = []
    config = json.loads(saved.config.rstrip(b"\0"))
    own = (await host_facts(ctx.backend)).host if here else uuid.uuid4().bytes

    async def script(peer: OwnPeer) -> None:
        (info,) = [x for x in await ctx.list_domains() if x.domid == other.domid]
        config["c_info"]["uuid"] = info.uuid
        await offered(peer, saved.offer(config=json.dumps(config).encode(), host=own))
        heard.append(await peer.told(Refuse))

    words = "has its uuid"
    with Guest(host, "pv") as other, pytest.raises(MigrationRefused, match=words):
        await receive(ctx, script)
    assert heard[0].refusal is Refusal.UUID
    assert await new(ctx, before) == []


def a_word(message: Message) -> Script:
    async def script(peer: OwnPeer) -> None:
        await peer.hear(READY)
        await peer.tell(message)
        await asyncio.Event().wait()

    return script


async def says_nothing(peer: OwnPeer) -> None:
    await peer.hear(READY)
    await asyncio.Event().wait()


async def is_silent(peer: OwnPeer) -> None:
    peer.be_silent()
    await peer.hear(READY)
    await peer.tell(Beat())
    await asyncio.Event().wait()


async def half_a_frame(peer: OwnPeer) -> None:
    await peer.hear(READY)
    await peer.say(b"\0\0")
    peer.writer.write_eof()


async def is_xl(peer: OwnPeer) -> None:
    await peer.hear(READY)
    await peer.say(b"Xen saved domain, xl format\n \0 \r".ljust(64, b"\0"))
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (a_word(Go()), PeerFailed, "it said Go"),
        (a_word(GiveUp("changed my mind")), PeerFailed, "changed my mind"),
        (says_nothing, TimedOut, "peer_answer"),
        (is_silent, TimedOut, "peer_silent"),
        (half_a_frame, PeerFailed, "2 of 4"),
        (is_xl, PeerFailed, "a message of"),
    ],
)
async def test_sender_that_offers_nothing_leaves_nothing(
    ctx: Context, before: set[int], script: Script, error: type[JobError], words: str
):
    with pytest.raises(error, match=words):
        await receive(ctx, script)
    assert await new(ctx, before) == []


# ----- while it comes, and once it is whole ---------------------------------------


async def cut(peer: OwnPeer) -> None:
    peer.hang_up()


async def silent(peer: OwnPeer) -> None:
    peer.be_silent()


async def gives_up(peer: OwnPeer) -> None:
    await peer.tell(GiveUp("the guest was cancelled"))


async def stream_ends(peer: OwnPeer) -> None:
    peer.end_stream()
    assert "stream" in (await peer.told(GiveUp)).text


@pytest.mark.parametrize("then", [cut, silent, gives_up, stream_ends])
async def test_stream_that_is_not_whole_leaves_nothing(
    ctx: Context, saved: Saved, before: set[int], then: Script
):
    async def script(peer: OwnPeer) -> None:
        await offered(peer, saved.offer())
        await peer.told(Accept)
        await peer.give_stream(saved.stream[:-4])
        await then(peer)
        await asyncio.Event().wait()

    with pytest.raises(JobError) as caught:
        await receive(ctx, script)
    assert not isinstance(caught.value, MigrationOpen)
    assert caught.value.was_told is (then is stream_ends)
    assert await new(ctx, before) == []
    assert await ctx.list_jobs() == []


async def test_copy_goes_when_the_sender_goes_on_with_its_own(
    ctx: Context, saved: Saved, before: set[int]
):
    async def script(peer: OwnPeer) -> None:
        await sent(peer, saved)
        await peer.tell(GiveUp("cancelled"))
        await asyncio.Event().wait()

    with pytest.raises(PeerFailed, match="has given up: cancelled") as caught:
        await receive(ctx, script)
    assert caught.value.guest is GuestState.GONE
    assert await new(ctx, before) == []
    assert await ctx.list_jobs() == []


@pytest.mark.parametrize("late", [False, True])
async def test_copy_goes_when_the_sender_says_so_after_all(
    ctx: Context, saved: Saved, before: set[int], *, late: bool
):
    """GO does not come in time; what is said then makes the sender go on."""

    async def script(peer: OwnPeer) -> None:
        await sent(peer, saved)
        assert not (await peer.told(Report)).runs
        await peer.told(Permission)
        assert len(await new(ctx, before)) == 1
        if late:
            await peer.tell(Go())
        await peer.tell(GiveUp("it does not run there"))
        await asyncio.Event().wait()

    with pytest.raises(TimedOut, match="peer_answer"):
        await receive(ctx, script)
    assert await new(ctx, before) == []
    assert await ctx.list_jobs() == []


async def says_other(peer: OwnPeer) -> None:
    await peer.tell(Permission())


@pytest.mark.parametrize("then", [cut, silent, says_other])
async def test_copy_that_was_not_given_stays_paused_and_is_told(
    ctx: Context, saved: Saved, before: set[int], then: Script
):
    async def script(peer: OwnPeer) -> None:
        await sent(peer, saved)
        await then(peer)
        await asyncio.Event().wait()

    with pytest.raises(MigrationOpen) as caught:
        await receive(ctx, script)
    (info,) = await new(ctx, before)
    assert info.paused
    assert caught.value.guest is GuestState.PAUSED
    (found,) = await ctx.recover()
    assert found.outcome is Outcome.OPEN


async def test_sender_is_told_why_its_copy_does_not_run(
    ctx: Context, host: Path, saved: Saved, before: set[int]
):
    told: list[Report] = []

    async def script(peer: OwnPeer) -> None:
        await sent(peer, saved)
        (info,) = await new(ctx, before)
        await aside(destroy, host, info.domid)
        await peer.tell(Go())
        told.append(await peer.told(Report))
        await peer.told(Permission)

    with pytest.raises(JobError) as caught:
        await receive(ctx, script)
    assert not told[0].runs
    assert told[0].text == caught.value.args[0]
    assert await new(ctx, before) == []


# ----- where the stream is handed in ----------------------------------------------


async def receive_at_landing(ctx: Context, script: Script) -> RestoreResult:
    async with OwnPeer.both() as (peer, control, _), Landing() as landing:
        playing = asyncio.create_task(script(peer))
        try:
            fd = control.fileno()
            job = await ctx.domain_receive(fd, fd, stream=landing, deadlines=DEADLINES)
            return await job
        finally:
            await asyncio.gather(playing, return_exceptions=True)


async def test_stream_is_handed_in_by_who_has_it(
    ctx: Context, saved: Saved, before: set[int]
):
    staying: list[asyncio.Task[None]] = []

    async def script(peer: OwnPeer) -> None:
        await offered(peer, saved.offer())
        name = (await peer.told(Accept)).landing
        handing = asyncio.to_thread(hand_in, name, peer.given.detach())
        staying.append(asyncio.create_task(handing))
        await peer.give_stream(saved.stream)
        await peer.told(Received)
        assert not staying[0].done()
        await peer.tell(Go())
        assert (await peer.told(Report)).runs

    await receive_at_landing(ctx, script)
    await asyncio.wait_for(staying[0], DEADLINES.spawn)
    assert len(await new(ctx, before)) == 1


async def test_stream_that_nobody_hands_in_is_not_waited_for(
    ctx: Context, saved: Saved, before: set[int]
):
    heard: list[GiveUp] = []

    async def script(peer: OwnPeer) -> None:
        await offered(peer, saved.offer())
        await peer.told(Accept)
        heard.append(await peer.told(GiveUp))

    with pytest.raises(TimedOut, match="peer_ready"):
        await receive_at_landing(ctx, script)
    assert "peer_ready" in heard[0].text
    assert await new(ctx, before) == []
