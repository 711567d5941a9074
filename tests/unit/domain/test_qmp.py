"""What is told of a device model that has ended, or speaks something else."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from libxlpy.domain.qmp import connect
from libxlpy.errors import QmpError

GREETING = {"QMP": {"version": {"qemu": {}, "package": ""}, "capabilities": []}}
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def device_model(folder: Path, talk: Talk) -> AsyncIterator[Path]:
    """Listen as qemu does, and end as it does when it is killed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(reader, writer)
        writer.close()

    path = folder / "qmp"
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield path


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(json.dumps(GREETING).encode() + b"\n")
    await reader.read(4096)  # a request has no end of line, this one no id
    writer.write(b'{"return": {}}\n')


async def ends_when_asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await greet(reader, writer)
    await reader.read(4096)


async def says_junk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await greet(reader, writer)
    await reader.read(4096)
    writer.write(b"junk\n")


async def ends_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def greets_with_junk(
    _: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"junk\n")


async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await greet(reader, writer)
    asked = json.loads(await reader.read(4096))
    error = {"class": "GenericError", "desc": "no disk"}
    writer.write(json.dumps({"error": error, "id": asked["id"]}).encode() + b"\n")
    await reader.read(4096)


LOST = "the connection to it is lost"


@pytest.mark.parametrize(
    ("talk", "why"),
    [(ends_when_asked, LOST), (says_junk, LOST), (refuses, "no disk")],
)
async def test_failed_command_says_what_the_device_model_did(
    tmp_path: Path, talk: Talk, why: str
):
    async with device_model(tmp_path, talk) as path:
        qmp = await connect(path, timeout=5)
        with pytest.raises(QmpError) as caught:
            await qmp.execute("stop")
        await qmp.close()
    assert str(caught.value) == f"device model: stop failed: {why}"


async def test_connection_that_was_lost_before_says_so(tmp_path: Path):
    async with device_model(tmp_path, ends_when_asked) as path:
        qmp = await connect(path, timeout=5)
        for command in ("stop", "cont"):
            with pytest.raises(QmpError, match=f"^device model: {command} .*: {LOST}$"):
                await qmp.execute(command)
        await qmp.close()
        with pytest.raises(QmpError, match=f"^device model: stop failed: {LOST}$"):
            await qmp.execute("stop")


@pytest.mark.parametrize(
    ("talk", "why"),
    [(ends_at_once, LOST), (greets_with_junk, "what it says is no QMP")],
)
async def test_what_does_not_greet_is_told_in_one_line(
    tmp_path: Path, talk: Talk, why: str
):
    async with device_model(tmp_path, talk) as path:
        with pytest.raises(QmpError) as caught:
            await connect(path, timeout=5)
    assert str(caught.value) == f"can't talk to the device model at {path}: {why}"
