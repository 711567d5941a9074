"""What a protected guest sends, held in dom0's kernel until its epoch is committed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from libxlpy.domain.plug import leftover, remove
from libxlpy.errors import BackendError
from libxlpy.remus.network import NetworkBuffer

from .line import VIF, Line, line
from .support import ok

pytestmark = pytest.mark.xen

DOMID = 4711
IFB = f"xlpy-{DOMID}"
EACH = 30


@pytest.fixture
def laid() -> Iterator[Line]:
    with line() as laid:
        yield laid
    assert IFB not in [name for _, name in socket.if_nameindex()]


def buffer(limit: int = 1 << 20) -> NetworkBuffer:
    return NetworkBuffer([VIF], DOMID, limit=limit)


async def held(buffer: NetworkBuffer, packets: int) -> None:
    """Wait until so many are held."""
    for _ in range(10000):
        found = await buffer.held()
        assert found is not None
        if found.packets == packets:
            return
    raise AssertionError(found)


def redirected() -> bool:
    return "ingress" in ok("tc", "qdisc", "show", "dev", VIF)


def test_nothing_leaves_before_its_epoch_is_committed(laid: Line) -> None:
    async def protect() -> None:
        net = buffer()
        await net.setup()
        sent = laid.send(EACH)
        assert laid.wait(EACH) == sent  # all passes until the first epoch is closed
        await net.postsuspend(1)
        sent += laid.send(EACH)  # in epoch 2
        await held(net, EACH)
        await net.commit(1)
        assert laid.look() == sent[:EACH]
        for epoch in range(2, 7):
            await net.postsuspend(epoch)
            sent += laid.send(EACH)  # in the next one
            await held(net, 2 * EACH)
            assert laid.look() == sent[: -2 * EACH]
            await net.commit(epoch)
            assert laid.wait(len(sent) - EACH) == sent[:-EACH]
            await held(net, EACH)
            assert laid.look() == sent[:-EACH]
        await net.postsuspend(7)
        sent += laid.send(EACH)
        await held(net, 2 * EACH)
        await net.teardown()  # of what is closed, and of what is not
        assert laid.wait(len(sent)) == sent
        assert not redirected()
        sent += laid.send(EACH)
        assert laid.wait(len(sent)) == sent

    asyncio.run(protect())


def test_nothing_is_lost_of_a_guest_that_never_rests(laid: Line) -> None:
    sent: list[int] = []
    enough = threading.Event()

    def send() -> None:
        while not enough.is_set():
            sent.extend(laid.send(1))
            enough.wait(0.0005)

    async def protect() -> None:
        net = buffer(64 << 20)
        await net.setup()
        for epoch in range(1, 41):
            await net.postsuspend(epoch)
            while (found := await net.held()) and found.packets < 5:
                laid.look()
            await net.commit(epoch)
        assert found
        assert not found.dropped
        await net.teardown()

    guest = threading.Thread(target=send)
    guest.start()
    try:
        asyncio.run(protect())
    finally:
        enough.set()
        guest.join()
    assert laid.wait(len(sent)) == sent


CHILD = f"""
import asyncio
from libxlpy.remus.network import NetworkBuffer

async def protect():
    net = NetworkBuffer([{VIF!r}], {DOMID})
    await net.setup()
    await net.postsuspend(1)
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(protect())
"""


def test_what_a_killed_protection_has_left_is_found_and_removed(laid: Line) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
    assert child.stdout
    with child, child.stdout:
        assert child.stdout.readline() == b"held\n"
        sent = laid.send(EACH)
        os.kill(child.pid, signal.SIGKILL)
    assert asyncio.run(leftover(DOMID)) == IFB
    assert asyncio.run(leftover(DOMID // 10)) is None
    assert laid.look() == []
    with pytest.raises(BackendError, match="left by another protection: xlpy recover"):
        asyncio.run(buffer().setup())
    asyncio.run(remove(IFB))
    assert laid.wait(EACH) == sent
    assert asyncio.run(leftover(DOMID)) is None
    assert not redirected()
    assert laid.send(EACH)
    assert len(laid.wait(2 * EACH)) == 2 * EACH


def test_leftovers_of_a_guest_that_is_gone_are_removed(laid: Line) -> None:
    async def protect() -> None:
        net = buffer()
        await net.setup()
        await net.postsuspend(1)
        laid.send(EACH)
        await held(net, EACH)
        ok("ip", "link", "del", VIF)
        await net.teardown()

    asyncio.run(protect())


def test_what_finds_no_room_is_told(laid: Line) -> None:
    async def protect() -> None:
        net = buffer(limit=1000)
        await net.setup()
        await net.postsuspend(1)
        sent = laid.send(100)
        await net.commit(1)
        found = await net.held()
        assert found is not None
        assert found.packets + found.dropped == 100
        assert 0 < found.bytes <= 1000
        await net.teardown()
        assert laid.wait(found.packets) == sent[: found.packets]

    asyncio.run(protect())


def test_filters_of_others_are_left_alone(laid: Line) -> None:
    ok("tc", "qdisc", "add", "dev", VIF, "ingress")

    async def refused() -> None:
        net = buffer()
        with pytest.raises(BackendError, match=f"{VIF} can't be redirected: it has"):
            await net.setup()
        await net.teardown()

    asyncio.run(refused())
    assert redirected()
    assert asyncio.run(leftover(DOMID)) is None


def test_interface_that_is_not_there(laid: Line) -> None:
    async def refused() -> None:
        net = NetworkBuffer(["vif4711.0"], DOMID)
        with pytest.raises(BackendError, match="there is no interface vif4711"):
            await net.setup()
        await net.teardown()

    asyncio.run(refused())
