"""One of two connections of a migration is lost, at each step: where the guest is then.

The other connection is there all the time. One copy runs; or none does, and both ends
say so. All within the deadlines.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from libxlpy import Context, Deadlines, DomainInfo, JobError, MigrationOpen
from tests.support import lossy
from tests.support.guest import Guest
from tests.support.real_host import QUICK
from tests.support.shell import environment

#: Seconds for a sign of life, or for the stream to get on.
SILENT = 3.0
DEADLINES = QUICK.replace(
    peer_ready=2 * SILENT, peer_answer=2 * SILENT, peer_silent=SILENT
)
#: Seconds for both ends, as each finds out for itself; a bound, not a measure.
PATIENCE = 30.0

Socks = list[socket.socket]


@dataclass(frozen=True)
class Ends:
    """How each end has ended, None if well, and what it has."""

    sender: JobError | None
    receiver: JobError | None
    here: list[DomainInfo]
    there: list[DomainInfo]

    @staticmethod
    def is_open(end: JobError | None) -> bool:
        return isinstance(end, MigrationOpen)


@contextmanager
def connected(*loss: str) -> Iterator[tuple[Socks, Socks]]:
    """Give control and stream of the sender, and of the receiver."""
    senders: Socks = []
    receivers: Socks = []
    relays: Socks = []
    with ExitStack() as stack:
        for _ in ("control", "stream"):
            for ends in (senders, receivers):
                end, relay = socket.socketpair()
                ends.append(stack.enter_context(end))
                relays.append(relay)
        fds = [relay.fileno() for relay in relays]
        words = [sys.executable, lossy.__file__, *loss, *map(str, fds)]
        process = subprocess.Popen(words, pass_fds=fds, env=environment())
        for relay in relays:
            relay.close()
        stack.enter_context(process)
        stack.callback(process.kill)
        yield senders, receivers


async def send(ctx: Context, domid: int, socks: Socks) -> JobError | None:
    control, stream = (sock.fileno() for sock in socks)

    async def connect(_: str) -> int:
        return stream

    try:
        await (await ctx.domain_migrate(domid, control, control, connect=connect))
    except JobError as exc:
        return exc
    finally:
        close(socks)
    return None


async def receive(ctx: Context, socks: Socks) -> JobError | None:
    control, stream = (sock.fileno() for sock in socks)
    try:
        await (await ctx.domain_receive(control, control, stream=stream))
    except JobError as exc:
        return exc
    finally:
        close(socks)
    return None


def close(socks: Socks) -> None:
    for sock in socks:
        sock.close()


def migrate(guest: Guest, there: Path, deadlines: Deadlines, *loss: str) -> Ends:
    """Migrate, with a connection lost."""

    async def work() -> Ends:
        async with (
            Context("simxen", guest.host, deadlines) as ours,
            Context("simxen", there, deadlines) as theirs,
        ):
            sender, receiver = await asyncio.gather(
                send(ours, guest.domid, senders), receive(theirs, receivers)
            )
            here = [i for i in await ours.list_domains() if i.domid == guest.domid]
            return Ends(sender, receiver, here, await theirs.list_domains())

    with connected(*loss) as (senders, receivers):
        return asyncio.run(asyncio.wait_for(work(), PATIENCE))


@pytest.mark.parametrize("how", ["cut", "hole"])
@pytest.mark.parametrize("place", ["offer", "copy", "received", "go", "report"])
def test_control_is_lost(hvm: Guest, other_host: Path, place: str, how: str):
    ends = migrate(hvm, other_host, DEADLINES, place, how, "control")
    assert ends.is_open(ends.sender) is (place in ("go", "report")), ends
    assert ends.is_open(ends.receiver) is (place in ("received", "go")), ends
    (here,) = ends.here
    assert here.running is not ends.is_open(ends.sender), ends
    assert here.running is (here.name == hvm.name), ends
    if place in ("offer", "copy"):
        assert ends.there == [], ends
    else:
        (there,) = ends.there
        assert there.paused is (place != "report"), ends
        assert there.paused is (there.name != hvm.name), ends
    noticed = "the connection has ended" if how == "cut" else "deadline 'peer_"
    assert noticed in str(ends.sender), ends
    assert place == "report" or noticed in str(ends.receiver), ends


@pytest.mark.parametrize("how", ["cut", "hole"])
@pytest.mark.parametrize("place", ["offer", "copy"])
def test_stream_is_lost(hvm: Guest, other_host: Path, place: str, how: str):
    deadlines = DEADLINES.replace(no_progress=SILENT)
    ends = migrate(hvm, other_host, deadlines, place, how, "stream")
    (here,) = ends.here
    assert here.running, ends
    assert ends.there == [], ends
    for end in (ends.sender, ends.receiver):
        assert end is not None, ends
        assert not ends.is_open(end), ends
    assert how == "cut" or "no_progress" in str(ends.sender), ends


@pytest.mark.parametrize(
    ("place", "how", "which"),
    [
        ("offer", "slow", "control"),
        ("offer", "slow", "stream"),
        *((at, "cut", "stream") for at in ("received", "go", "report")),
        ("go", "hole", "stream"),
    ],
)
def test_moves_all_the_same(
    hvm: Guest, other_host: Path, place: str, how: str, which: str
):
    ends = migrate(hvm, other_host, DEADLINES, place, how, which)
    assert ends.sender is ends.receiver is None, ends
    assert ends.here == [], ends
    (there,) = ends.there
    assert there.running, ends
    assert there.name == hvm.name, ends
