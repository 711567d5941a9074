"""The connection of our own handshake: what is said on it, and what is news."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from libxlpy import Deadlines, JobError, PeerFailed, TimedOut
from libxlpy.migration.channel import Channel
from libxlpy.migration.control import Control
from libxlpy_protocol.messages import Message
from libxlpy_protocol.migration.own import (
    GiveUp,
    Go,
    Permission,
    Received,
    encode,
)

QUICK = Deadlines(peer_silent=5.0, peer_answer=0.2)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Control, Control]]:
    one, other = socket.socketpair()
    with one, other:
        controls = [
            Control(Channel(s.fileno(), s.fileno()), QUICK) for s in (one, other)
        ]
        yield controls[0], controls[1]
        for control in controls:
            await control.close()


async def test_each_hears_what_the_other_says(ends: tuple[Control, Control]):
    one, other = ends
    await one.say(Received())
    await other.say(Go())
    assert await other.hear("peer_answer") == Received()
    assert await one.hear("peer_answer") == Go()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (GiveUp("no memory"), "the other end has given up: no memory"),
        (Received(), "the other end did not answer: it said Received"),
    ],
)
async def test_what_comes_in_place_of_an_answer_is_told(
    ends: tuple[Control, Control], said: Message, why: str
):
    one, other = ends
    await one.say(said)
    with pytest.raises(PeerFailed) as caught:
        await other.hear_one(Go, Permission, failed="did not answer")
    assert str(caught.value) == why
    await one.say(Permission())
    answer = await other.hear_one(Go, Permission, failed="did not answer")
    assert answer == Permission()


async def test_nothing_is_waited_for_longer_than_is_said(ends: tuple[Control, Control]):
    with pytest.raises(TimedOut, match="peer_answer"):
        await ends[0].hear("peer_answer")


async def test_who_watches_late_hears_what_was_said_before(
    ends: tuple[Control, Control],
):
    one, other = ends
    await one.say(GiveUp("no memory"))
    assert await other.hear("peer_answer") == GiveUp("no memory")
    told: list[JobError] = []
    other.watch(told.append)
    assert [str(error) for error in told] == ["the other end has given up: no memory"]


async def test_end_of_one_is_news_to_the_other():
    one, other = socket.socketpair()
    told: asyncio.Queue[JobError] = asyncio.Queue()
    with other:
        control = Control(Channel(other.fileno(), other.fileno()), QUICK)
        control.watch(told.put_nowait)
        one.close()
        assert isinstance(await told.get(), PeerFailed)
        with pytest.raises(PeerFailed):
            await control.hear("peer_answer")
        await control.close()


async def test_who_was_heard_may_not_be_silent_for_long():
    one, other = socket.socketpair()
    with one, other:
        deadlines = Deadlines(peer_silent=0.2, peer_answer=5.0)
        control = Control(Channel(other.fileno(), other.fileno()), deadlines)
        await asyncio.sleep(0.5)  # it has not begun
        one.sendall(encode(Go()))
        assert await control.hear("peer_answer") == Go()
        with pytest.raises(TimedOut, match="peer_silent"):
            await control.hear("peer_answer")
        await control.close()


async def test_work_goes_on_while_the_other_is_there(ends: tuple[Control, Control]):
    one, other = ends
    assert await one.meanwhile(asyncio.sleep(0.01, "done")) == "done"
    await other.say(GiveUp("no memory"))
    work = asyncio.get_running_loop().create_future()
    with pytest.raises(PeerFailed, match="no memory"):
        await one.meanwhile(work)
    assert work.cancelled()


async def test_nothing_is_said_once_it_is_closed(ends: tuple[Control, Control]):
    """Whoever retries a repair comes later; the numbers may be others' by then."""
    one, other = ends
    await one.close()
    with pytest.raises(PeerFailed, match="not spoken to any more"):
        await one.say(Go())
    with pytest.raises(TimedOut):
        await other.hear("peer_answer")
