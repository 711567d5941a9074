"""A receiver whose host has not enough memory, or comes to have no more of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from libxlpy import Context, MigrationRefused, PeerFailed, Refusal, XenError
from libxlpy.simxen.client import request
from libxlpy.simxen.errors import SimxenError
from libxlpy_protocol.migration.own import Accept, GiveUp, Go, Received, Refuse, Report
from tests.support.guest import PATIENCE, aside
from tests.support.own_peer import OwnPeer
from tests.support.own_sender import Saved, offered, receive
from tests.support.real_host import QUICK, running_host

#: All that the host has, MiB, and what comes.
SIZE, COMES = 20, 8
#: Bytes of a stream that is cut: some of its memory is in them.
PART = 1 << 20


@pytest.fixture(scope="module")
def little_host() -> Iterator[Path]:
    with running_host(memory_mib=SIZE) as directory:
        yield directory


@pytest.fixture
def small_host(little_host: Path) -> Iterator[Path]:
    """Give a host of so little memory that has no domain and no job."""
    yield little_host
    for facts in domains(little_host):
        request(little_host, "destroy", domid=facts["domid"])
    for path in (little_host / "jobs").glob("*"):
        path.unlink()


@pytest.fixture
async def small(small_host: Path, nothing_blocks: None) -> AsyncIterator[Context]:
    async with Context("simxen", small_host, QUICK) as context:
        yield context


@pytest.fixture
async def saved(image: Path) -> Saved:
    return await aside(lambda: Saved(image))


def domains(host: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = request(host, "list")["domains"]
    return found


async def other(host: Path, memory_mib: int) -> None:
    """Have another domain made."""
    fields = {"name": f"other-{memory_mib}", "memory_mib": memory_mib, "fill": False}
    await aside(lambda: request(host, "create", **fields))


def offer(saved: Saved) -> Any:
    return saved.offer(memory_kib=COMES * 1024)


async def test_domain_that_does_not_fit_is_refused_with_numbers(
    small: Context, small_host: Path, saved: Saved
):
    heard: list[Refuse] = []

    async def script(peer: OwnPeer) -> None:
        await offered(peer, saved.offer(memory_kib=(SIZE - 4) * 1024 + 1))
        heard.append(await peer.told(Refuse))

    await other(small_host, 4)
    with pytest.raises(
        MigrationRefused, match="needs 17 MiB of memory, and the target has 16"
    ):
        await receive(small, script)
    assert heard[0].refusal is Refusal.MEMORY
    assert "destroy or shrink a domain" in heard[0].text
    assert len(await aside(lambda: domains(small_host))) == 1


async def test_here_is_no_dom0_to_give_any(
    small_host: Path, nothing_blocks: None, saved: Saved
):
    """`xlpy` asks for it on every backend, if `xl.conf` says so."""

    async def script(peer: OwnPeer) -> None:
        await offered(peer, saved.offer(memory_kib=(SIZE + 1) * 1024))
        assert (await peer.told(Refuse)).refusal is Refusal.MEMORY

    async with Context("simxen", small_host, QUICK, autoballoon="on") as context:
        with pytest.raises(MigrationRefused, match=r"the target has 20 MiB free: "):
            await receive(context, script)


async def test_memory_that_is_gone_before_the_copy_begins(
    small: Context, small_host: Path, saved: Saved
):
    """Between the answer and the stream somebody else takes it."""

    async def script(peer: OwnPeer) -> None:
        await offered(peer, offer(saved))
        await peer.told(Accept)
        await other(small_host, SIZE - COMES + 1)
        await peer.give_stream(saved.stream[:PART])
        await asyncio.Event().wait()

    words = "not enough memory: it needs 8 MiB, and 7 MiB are free"
    with pytest.raises(XenError, match=words):
        await receive(small, script)
    assert len(await aside(lambda: domains(small_host))) == 1


async def claimed(host: Path) -> int:
    """Wait until something is claimed; give how many pages."""
    async with asyncio.timeout(PATIENCE):
        while True:
            pages = sum(
                int(facts["claimed"]) for facts in await aside(lambda: domains(host))
            )
            if pages:
                return pages


async def test_others_are_made_meanwhile_but_not_of_what_is_claimed(
    small: Context, small_host: Path, saved: Saved
):
    async def script(peer: OwnPeer) -> None:
        await offered(peer, offer(saved))
        await peer.told(Accept)
        await peer.give_stream(saved.stream[:PART])
        assert await claimed(small_host) > 0
        await other(small_host, 4)
        with pytest.raises(SimxenError, match="not enough memory for 9 MiB"):
            await other(small_host, SIZE - 4 - COMES + 1)
        await other(small_host, SIZE - 4 - COMES)
        await peer.give_stream(saved.stream[PART:])
        await peer.told(Received)
        await peer.tell(Go())
        assert (await peer.told(Report)).runs

    await receive(small, script)
    facts = await aside(lambda: domains(small_host))
    assert [each["memory_mib"] for each in facts] == [COMES, 4, SIZE - 4 - COMES]
    assert not any(each["claimed"] for each in facts)


async def test_what_was_claimed_is_free_again_if_it_does_not_come(
    small: Context, small_host: Path, saved: Saved
):
    async def script(peer: OwnPeer) -> None:
        await offered(peer, offer(saved))
        await peer.told(Accept)
        await peer.give_stream(saved.stream[:PART])
        await claimed(small_host)
        await peer.tell(GiveUp("that is all"))
        await asyncio.Event().wait()

    with pytest.raises(PeerFailed, match="that is all"):
        await receive(small, script)
    await other(small_host, SIZE)
