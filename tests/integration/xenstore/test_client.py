"""The xenstore client against a xenstore that speaks the real wire protocol."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from libxlpy.errors import XenstoreError
from libxlpy.xenstore import Xenstore, connect
from libxlpy.xenstore.wire import ConnectionLost
from libxlpy_protocol.xenstore_wire import Packet, XsType, encode

ROOT = "/tool/test-parent"


@pytest.fixture
async def store(host: Path, nothing_blocks: None) -> AsyncIterator[Xenstore]:
    async with connect(host / "xenstored.sock", timeout=10.0) as client:
        yield client
        await client.remove(ROOT)


async def test_nodes_are_written_read_listed_and_removed(store: Xenstore):
    await store.write(f"{ROOT}/a", b"1\0binary\xff")
    await store.write(f"{ROOT}/b", b"")
    assert await store.read(f"{ROOT}/a") == b"1\0binary\xff"
    assert await store.read(f"{ROOT}/b") == b""
    assert sorted(await store.directory(ROOT)) == ["a", "b"]
    await store.remove(ROOT)
    await store.remove(ROOT)
    assert await store.read(f"{ROOT}/a") is None
    assert await store.directory(ROOT) == []
    assert await store.read_text(f"{ROOT}/a") == ""


async def test_refusal_carries_the_name_of_the_error(store: Xenstore):
    with pytest.raises(XenstoreError) as caught:
        await store.write("no/such//path", b"")
    assert caught.value.code == "EINVAL"
    with pytest.raises(XenstoreError) as caught:
        await store.write(f"{ROOT}/big", b"x" * 5000)
    assert caught.value.code == "E2BIG"
    assert await store.read("/local/domain/0") is not None  # it can go on


async def test_disturbed_transaction_is_done_again(host: Path, store: Xenstore):
    await store.write(f"{ROOT}/n", b"0")
    tries = 0

    async def add(number: int) -> None:
        nonlocal tries
        tries += 1
        value = int(await store.read_text(f"{ROOT}/n", transaction=number))
        if tries == 1:
            async with connect(host / "xenstored.sock", timeout=10.0) as other:
                await other.write(f"{ROOT}/n", b"10")
        await store.write(f"{ROOT}/n", b"%d" % (value + 1), transaction=number)

    await store.transact(add)
    assert tries == 2
    assert await store.read(f"{ROOT}/n") == b"11"


async def test_failed_transaction_changes_nothing(store: Xenstore):
    async def fail(number: int) -> None:
        await store.write(f"{ROOT}/n", b"changed", transaction=number)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await store.transact(fail)
    assert await store.read(f"{ROOT}/n") is None


async def test_watch_tells_of_changes_also_of_those_before_the_look(store: Xenstore):
    async with store.watch(f"{ROOT}/w") as watch:
        await watch.changed()  # every watch fires once when it is set
        for number in range(100):
            await store.write(f"{ROOT}/w", b"%d" % number)
        await watch.changed()
        assert await store.read(f"{ROOT}/w") == b"99"
    await store.write(f"{ROOT}/w", b"unheard")


async def test_requests_of_many_tasks_are_told_apart(store: Xenstore):
    async def work(number: int) -> bytes | None:
        await store.write(f"{ROOT}/{number}", b"%d" % number)
        return await store.read(f"{ROOT}/{number}")

    got = await asyncio.gather(*(work(number) for number in range(100)))
    assert got == [b"%d" % number for number in range(100)]


async def test_no_xenstored_is_told(tmp_path: Path):
    with pytest.raises(XenstoreError, match="can't reach xenstored"):
        async with connect(tmp_path / "none", timeout=1.0):
            pass


# ----- xenstoreds that misbehave ------------------------------------------------------


@asynccontextmanager
async def served(path: Path, answer: bytes | None) -> AsyncIterator[None]:
    """Serve a xenstored that answers everything with the same bytes, or leaves."""
    ends: set[asyncio.Future[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.add(asyncio.ensure_future(writer.wait_closed()))
        await reader.read(1)
        if answer:
            writer.write(answer)
        if answer is not None:
            await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)  # one that has just been accepted
        await asyncio.gather(*ends, return_exceptions=True)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "closed the connection"),
        (b"", "did not answer READ in 0.3 s"),
        (b"\xff" * 16, "connection to xenstored lost"),
    ],
)
async def test_lying_xenstored_is_told_in_bounded_time(
    tmp_path: Path, answer: bytes | None, words: str
):
    async with (
        served(tmp_path / "xs", answer),
        connect(tmp_path / "xs", timeout=0.3) as store,
    ):
        with pytest.raises(XenstoreError, match=words):
            await store.read("/")


@pytest.mark.parametrize("number", [b"", b"one", b"-1", b"9" * 11, b"9" * 5000])
async def test_transaction_number_that_is_none_is_told(tmp_path: Path, number: bytes):
    answer = encode(Packet(XsType.TRANSACTION_START, 1, 0, number[:4000] + b"\0"))

    async def never(_number: int) -> None:
        raise AssertionError

    async with (
        served(tmp_path / "xs", answer),
        connect(tmp_path / "xs", timeout=5.0) as store,
    ):
        with pytest.raises(XenstoreError, match="no transaction number"):
            await store.transact(never)


async def test_connection_is_lost_as_soon_as_a_request_meets_it(store: Xenstore):
    """Else the request is made again on the same one for ever, and nobody gets on."""
    wire, _ = await store.connection.request(XsType.DIRECTORY, b"/\0")
    wire._reader.set_exception(ConnectionResetError(errno.ECONNRESET, "reset"))
    with pytest.raises(ConnectionLost, match="reset"):
        await wire.ask(XsType.DIRECTORY, b"/\0")
    assert "reset" in wire.lost
    assert await store.directory("/")  # by a new one
