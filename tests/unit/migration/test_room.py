"""Memory that dom0 gives for a domain that is offered: before its sender begins."""

from collections.abc import Awaitable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.domain.dom0 import Dom0Memory
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.toolstack_xen import XenToolstack
from libxlpy.errors import JobError, MigrationRefused, XenError
from libxlpy.jobs.operation import Run
from libxlpy.jobs.record import Record
from libxlpy.migration import receive
from libxlpy.migration.announced import Announced
from libxlpy.migration.hooks import Hooks
from libxlpy.migration.receive import XenReceive
from libxlpy.operations import restore_xen
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy.results.report import GuestState, Settled
from libxlpy_protocol.migration.own import Refusal

CONFIG = b'{"c_info": {"name": "web", "type": "pvh"}, "b_info": {"target_memkb": 4096}}'
GIVEN = "dom0 has given 8 MiB of its memory"


class Offer:
    """The sender's, who begins once it is accepted."""

    migration = "of a name"
    pages = 1024

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    async def meanwhile(self, work: Awaitable[None]) -> None:
        await work

    async def accept(self, _: float) -> int:
        self._seen.append("accepted")
        return -1


class Seen:
    """What is done, in order, each by its own stand-in."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.all: list[str] = []
        self.refused: Exception | None = None
        patch.setattr(Dom0Memory, "make_room", self.make_room)
        patch.setattr(Dom0Memory, "give_back", self.give_back)
        patch.setattr(Dom0Memory, "remarks", lambda _: [GIVEN])
        patch.setattr(Hooks, "after", self.after)
        patch.setattr(receive, "find_dead_peer", lambda *_: None)
        patch.setattr(restore_xen, "list_domains", self.list_domains)

    async def make_room(self, needed: int, deadline: str) -> None:
        self.all.append(f"{needed // 1024} MiB within {deadline}")
        if self.refused is not None:
            raise self.refused

    async def give_back(self) -> list[str]:
        self.all.append("given back")
        return ["dom0 may have its memory again"]

    async def after(self, **_: object) -> list[str]:
        self.all.append("hooks")
        return []

    async def list_domains(self, _: Environment) -> list[DomainInfo]:
        return []


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


@pytest.fixture
async def operation(seen: Seen, tmp_path: Path) -> XenReceive:
    """A domain that was offered, and is not accepted yet."""
    where = Backend("xen", None, tmp_path / "xs", tmp_path, tmp_path)
    env = Environment(
        where=where, deadlines=Deadlines(), helpers=HypercallHelpers(), autoballoon="on"
    )
    talk = SimpleNamespace(watch=lambda _: None, say=quiet, close=quiet)
    domain = Announced(
        name="web",
        uuid="",
        config=CONFIG,
        talk=cast(Any, talk),
        offer=cast(Any, Offer(seen.all)),
        paused=False,
        monitor=False,
    )
    made = XenReceive(env, XenToolstack(env), domain.wanted())
    made.take(domain, Hooks(env, None, "receive"))
    await made.choose()
    return made


async def quiet(*_: object) -> None: ...


async def test_there_is_room_before_the_sender_begins(
    operation: XenReceive, seen: Seen
) -> None:
    await operation.prepare()
    room, *then = seen.all
    assert room.endswith("MiB within peer_answer")
    assert then == ["accepted"]


async def test_no_room_is_a_refusal_and_dom0_has_its_memory_again(
    operation: XenReceive, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    seen.refused = XenError(-1, 12, how="not enough memory")
    with pytest.raises(MigrationRefused, match="not enough memory") as caught:
        await operation.prepare()
    assert caught.value.refusal is Refusal.MEMORY
    await operation.discard()
    assert seen.all[1:] == ["given back", "hooks"]
    assert "dom0 may have its memory again" in caplog.text


async def test_hooks_come_last_and_are_told_nothing_twice(
    operation: XenReceive, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def left(_: XenReceive, run: Run) -> Settled:
        return Settled(GuestState.GONE if run.failure else GuestState.RUNNING)

    monkeypatch.setattr(XenReceive, "settle_domain", left)
    record = Record()
    failed = SimpleNamespace(failure=JobError("cut"), record=record)
    settled = await operation.settle(cast(Run, failed))
    assert settled.repairs == ("dom0 may have its memory again",)
    assert seen.all == ["given back", "hooks"]
    assert not record.remarks
    moved = SimpleNamespace(failure=None, record=record)
    for _ in range(2):
        await operation.settle_dom0(cast(Run, moved), Settled(GuestState.RUNNING))
    assert record.remarks == [GIVEN]
