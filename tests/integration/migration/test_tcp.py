"""Over sockets of TCP that a toolstack gives: a dead peer is found, at either end."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from libxlpy import Context, Deadlines
from tests.support.guest import Guest

SILENT = 6.0
BUILD = 50.0
DEADLINES = Deadlines(peer_silent=SILENT, build=BUILD)
#: Milliseconds.
WORDS, STREAM, NOTHING = int(SILENT * 1000), int(BUILD * 1000), 0
#: Of the sender's and the receiver's sockets, that of the stream last.
EXPECTED = {"xl": ([STREAM], [NOTHING]), "own": ([WORDS, STREAM], [WORDS, NOTHING])}


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Give two connections: the sender's sockets, and the receiver's."""
    made = []
    with ExitStack() as stack:
        for _ in range(2):
            with socket.create_server(("127.0.0.1", 0)) as server:
                one = socket.create_connection(server.getsockname())
                other, _ = server.accept()
            made.append((stack.enter_context(one), stack.enter_context(other)))
        yield made


def timeouts(socks: tuple[socket.socket, ...]) -> list[int]:
    assert all(s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for s in socks)
    option = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
    return [sock.getsockopt(*option) for sock in socks]


@pytest.mark.parametrize("handshake", EXPECTED)
async def test_sockets_of_both_ends(
    ctx: Context,
    other_host: Path,
    pv: Guest,
    pairs: list[tuple[socket.socket, socket.socket]],
    handshake: str,
):
    is_own = handshake == "own"
    ours, theirs = zip(*pairs[: 1 + is_own], strict=True)

    async def connect(_: str) -> int:
        return int(ours[-1].fileno())

    async with Context("simxen", other_host) as there:
        fd = theirs[0].fileno()
        stream = theirs[-1].fileno() if is_own else None
        come = there.domain_receive(fd, fd, stream=stream, deadlines=DEADLINES)
        receiving = asyncio.create_task(come)
        fd = ours[0].fileno()
        leads = connect if is_own else None
        job = await ctx.domain_migrate(
            pv.domid, fd, fd, connect=leads, deadlines=DEADLINES
        )
        received = await receiving
        await job
        result = await received
        await there.domain_destroy(result.domid)
    assert (timeouts(ours), timeouts(theirs)) == EXPECTED[handshake]
