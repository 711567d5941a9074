"""Whether a guest was launched: yes, no, or not known yet."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libxlpy.domain.toolstack_simxen import SimxenToolstack
from libxlpy.simxen.client import SimClient
from libxlpy.simxen.directory import HostDirectory
from libxlpy.simxen.errors import SimxenError
from libxlpy.simxen.host import Host
from libxlpy.simxen.spec import DomainSpec


class Start:
    """The start of a guest process that is held."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.answer: asyncio.Future[None] = asyncio.Future()

    async def __call__(self) -> None:
        self.begun.set()
        await self.answer


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    directory = HostDirectory(tmp_path / "host")
    directory.acquire()
    made = Host(directory, 100)
    yield made
    await made.destroy(1)
    directory.release()


@pytest.fixture
async def start(host: Host, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Domain 1 holds a guest that is to be launched."""
    domain = await host.create(DomainSpec("web", memory_mib=16, restore=True))
    domain.valid = True
    start = Start()
    monkeypatch.setattr(domain, "start_guest", start)
    return start


def launched(host: Host) -> bool | None:
    facts: bool | None = host.facts(host.domains[1])["launched"]
    return facts


async def test_a_launch_under_way_is_not_called_one(host: Host, start: Start) -> None:
    assert launched(host) is False
    launch = asyncio.create_task(host.launch(1, name=None, paused=True))
    await start.begun.wait()
    assert launched(host) is None
    with pytest.raises(SimxenError, match="not waiting for a launch"):
        await host.launch(1, name=None, paused=True)
    start.answer.set_result(None)
    await launch
    assert launched(host) is True


async def test_a_launch_that_failed_was_none(host: Host, start: Start) -> None:
    start.answer.set_exception(SimxenError("the guest died at once"))
    with pytest.raises(SimxenError, match="died at once"):
        await host.launch(1, name=None, paused=True)
    assert launched(host) is False


@pytest.mark.parametrize("end", [True, False])
async def test_who_asks_waits_for_a_launch_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bool
) -> None:
    answers = [None, None, end]

    async def info(_: SimClient, domid: int) -> dict[str, bool | None]:
        assert domid == 1
        return {"launched": answers.pop(0)}

    async def enter(client: SimClient) -> SimClient:
        return client

    async def leave(*_: object) -> None: ...

    monkeypatch.setattr(SimClient, "info", info)
    monkeypatch.setattr(SimClient, "__aenter__", enter)
    monkeypatch.setattr(SimClient, "__aexit__", leave)
    toolstack = object.__new__(SimxenToolstack)
    monkeypatch.setattr(toolstack, "_folder", tmp_path, raising=False)
    assert await toolstack.launched(1) is end
    assert not answers
