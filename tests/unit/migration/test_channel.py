"""What comes from the other end is read to the byte, and told if it is another."""

import asyncio
import os
import socket

import pytest

from libxlpy import PeerFailed, TimedOut, UsageError
from libxlpy.migration.channel import Channel


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours.fileno(), ours.fileno()), theirs


async def test_not_one_byte_more_is_read_than_is_due(pair):
    channel, theirs = pair
    theirs.send(b"ready\nstream")
    await channel.hear(b"ready\n", "d", 5)
    assert os.read(channel.read_fd, 10) == b"stream"


async def test_message_may_come_in_pieces(pair):
    channel, theirs = pair
    hearing = asyncio.create_task(channel.hear(b"ready\n", "d", 5))
    for byte in b"ready\n":
        theirs.send(bytes([byte]))
        await asyncio.sleep(0)
    await hearing


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"Welcome\n\x1b[2J", r'it said "Welcome\\n\\x1b\[2J"'),
        (b"re", r'it said "re"'),
        (b"", "the connection has ended"),
        (b"\xff" * 1000, "it said"),
    ],
)
async def test_other_words_are_told_and_cut(pair, said: bytes, told: str):
    channel, theirs = pair
    theirs.send(said)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(PeerFailed, match=told) as caught:
        await channel.hear(b"ready\n", "d", 5)
    assert len(str(caught.value)) < 2000


async def test_silence_is_the_deadline_that_is_named(pair):
    channel, theirs = pair
    theirs.send(b"rea")
    with pytest.raises(TimedOut, match="peer_ready"):
        await channel.hear(b"ready\n", "peer_ready", 0.05)


async def test_what_nobody_takes_is_not_waited_for_for_ever(pair):
    channel, _ = pair
    with pytest.raises(TimedOut, match="peer_answer"):
        await channel.say(bytes(1 << 22), "peer_answer", 0.05)


async def test_what_nobody_can_hear_is_told(pair):
    channel, theirs = pair
    theirs.shutdown(socket.SHUT_RD)
    with pytest.raises(PeerFailed, match="could not be told"):
        await channel.say(b"go", "d", 5)


async def test_cut_answer_says_how_much_came(pair):
    channel, theirs = pair
    theirs.send(b"1234")
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(PeerFailed, match="after 4 of 48 bytes"):
        await channel.read(48, "the header", "d", 5)


def test_what_has_no_other_end_is_refused(tmp_path):
    with (tmp_path / "file").open("w+b") as file, pytest.raises(UsageError):
        Channel(file.fileno(), file.fileno())
    with pytest.raises(UsageError, match="not open"):
        Channel(99999, 99999)
