"""Memory that dom0 gives: how much, when, and that it has it again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.domain import dom0
from libxlpy.domain.dom0 import STATIC_MAX, TARGET, Dom0Memory, needed_kib, spare_kib
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.toolstack_xen import XenToolstack
from libxlpy.errors import (
    BackendError,
    JobError,
    MigrationRefused,
    TimedOut,
    UsageError,
    XenError,
    XenstoreError,
)
from libxlpy.jobs.operation import Run
from libxlpy.jobs.record import Record
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.migration.objections import check_memory
from libxlpy.operations import restore_xen
from libxlpy.operations.restore_target import Wanted
from libxlpy.operations.restore_xen import XenRestore
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy.process.link import HelperLink
from libxlpy.results.report import GuestState, Settled
from libxlpy.simxen.xenstored.server import XenstoreServer
from libxlpy.simxen.xenstored.store import Store
from libxlpy.xenstore import Xenstore
from libxlpy_protocol.enums import Op
from libxlpy_protocol.messages import OpResult

pytestmark = pytest.mark.usefixtures("nothing_blocks")

MIB = 1024  # KiB
#: Of the host's memory, MiB: all, and what others have beside dom0.
ALL, OTHERS = 4096, 1024
VM = "/vm/00000000-0000-0000-0000-000000000000/memory"
#: Pages in a MiB.
PAGES = 256


class Host:
    """A host whose dom0 goes where its target is, at each look by a step."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.size = ALL - OTHERS  # MiB
        self.step = 100
        #: It never has less.
        self.least = 0
        self.sized = False
        self.claimed = 0

    @property
    def free(self) -> int:
        return ALL - OTHERS - self.size

    def node(self, path: str) -> str:
        return self.store.text(path)

    async def op(self, op: Op, domid: int, *_: object, uuid: str = "") -> OpResult:
        if op is Op.MEMORY:
            pages = (self.free * PAGES, self.claimed * PAGES, int(self.sized))
            return OpResult(0, 0, pages)
        assert (op, domid, uuid) == (Op.INFO, 0, "")
        if target := self.node(TARGET):
            least = max(int(target) // MIB, self.least)
            self.size = max(self.size - self.step, min(least, self.size))
        most = (ALL - OTHERS) * PAGES
        return OpResult(0, 0, (0, 32, 0, self.size * PAGES, most, 1, 1, 0), bytes(16))

    checked_op = op


class Dom0Environment(Environment):
    """Real Xen, but for the hypercalls."""

    host: Host

    @asynccontextmanager
    async def hypercalls(self) -> AsyncIterator[HelperLink]:
        yield cast(HelperLink, self.host)


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    monkeypatch.setattr(dom0, "LOOK_AGAIN", 0.0)
    monkeypatch.setattr(dom0, "STANDS", 0.05)
    server = XenstoreServer(store := Store(), tmp_path / "xs")
    await server.start()
    yield Host(store)
    await server.stop()


@pytest.fixture
def environment(host: Host, tmp_path: Path) -> Any:
    def make(autoballoon: str = "on", **bounds: float) -> Environment:
        where = Backend("xen", None, tmp_path / "xs", tmp_path, tmp_path)
        return Dom0Environment(
            where=where,
            deadlines=Deadlines(**bounds),
            helpers=HypercallHelpers(),
            autoballoon=autoballoon,
            host=host,
        )

    return make


# -- taken -----------------------------------------------------------------------------


async def test_what_lacks_is_taken_and_no_more(host: Host, environment: Any):
    host.size -= 40
    memory = Dom0Memory(environment())
    await memory.make_room(512 * MIB)
    assert host.free == 512
    assert memory.taken == (512 - 40) * MIB
    assert host.node(TARGET) == str((ALL - OTHERS - 512) * MIB)
    # Nobody had said it before: libxl needs both.
    assert host.node(STATIC_MAX) == str((ALL - OTHERS) * MIB)
    assert host.node(VM) == str(ALL - OTHERS - 512)
    assert memory.remarks() == [
        "dom0 has given 472 MiB of its memory: `xl mem-set 0 SIZE` gives it back"
    ]


@pytest.mark.parametrize(
    ("value", "sized", "gives"),
    [
        ("on", True, True),
        ("off", False, False),
        ("auto", True, False),
        ("auto", False, True),
    ],
)
async def test_dom0_gives_if_it_is_to(
    host: Host, environment: Any, value: str, sized: bool, gives: bool
):
    host.sized = sized
    memory = Dom0Memory(environment(value))
    await memory.make_room(512 * MIB)  # if it gives nothing, libxl judges
    assert bool(memory.taken) is gives
    assert bool(memory.lack) is not gives
    assert bool(host.node(TARGET)) is gives


async def test_enough_is_free(host: Host, environment: Any):
    host.size -= 512
    memory = Dom0Memory(environment())
    await memory.make_room(512 * MIB)
    assert not memory.taken
    assert not memory.remarks()
    assert not await memory.give_back()
    assert not host.node(TARGET)


async def test_what_is_claimed_is_not_free(host: Host, environment: Any):
    host.size -= 512
    host.claimed = 100
    memory = Dom0Memory(environment())
    await memory.make_room(512 * MIB)
    assert memory.taken == 100 * MIB


async def test_dom0_keeps_what_xl_leaves_it(host: Host, environment: Any):
    spare = await spare_kib(environment())
    assert spare == (host.size - 128) * MIB
    memory = Dom0Memory(environment())
    words = "it needs 2945 MiB, and 0 MiB are free, dom0 could give 2944 MiB more: "
    with pytest.raises(XenError, match=words) as caught:
        await memory.make_room(spare + 1)
    assert "`xl mem-set 0 SIZE`" in str(caught.value)
    assert not host.node(TARGET)
    await memory.make_room(spare)
    assert host.free == 2944


@pytest.mark.parametrize(("value", "sized"), [("off", False), ("auto", True)])
async def test_nothing_is_to_spare_of_what_is_not_to_be_given(
    host: Host, environment: Any, value: str, sized: bool
):
    host.sized = sized
    assert await spare_kib(environment(value)) == 0


async def test_dom0_that_stops_on_its_way(host: Host, environment: Any):
    host.least = host.size - 100
    memory = Dom0Memory(environment())
    with pytest.raises(XenError, match="it needs 512 MiB, and 100 MiB are free"):
        await memory.make_room(512 * MIB)
    assert memory.taken == 512 * MIB
    assert await memory.give_back() == ["dom0 may have its memory again"]
    assert host.node(TARGET) == str((ALL - OTHERS) * MIB)
    assert not memory.taken


async def test_memory_that_another_takes_meanwhile_is_asked_for_again(
    host: Host, environment: Any
):
    memory = Dom0Memory(environment())
    making = asyncio.create_task(memory.make_room(512 * MIB))
    while host.free < 300:
        await asyncio.sleep(0)
    host.claimed = 60
    await making
    assert host.free == 572


async def test_dom0_is_given_so_long(host: Host, environment: Any):
    host.step = 0
    memory = Dom0Memory(environment(build=0.02))
    with pytest.raises(TimedOut, match="'build'"):
        await memory.make_room(512 * MIB)
    assert memory.taken == 512 * MIB


async def test_cancelled_in_the_midst_it_knows_what_it_has(
    host: Host, environment: Any, monkeypatch: pytest.MonkeyPatch
):
    written = Xenstore.write
    memory = Dom0Memory(environment())
    making = asyncio.create_task(memory.make_room(512 * MIB))

    async def write(*args: Any, **named: Any) -> None:
        making.cancel()
        await written(*args, **named)

    monkeypatch.setattr(Xenstore, "write", write)
    with pytest.raises(asyncio.CancelledError):
        await making
    assert memory.taken == 512 * MIB
    assert int(host.node(TARGET)) == (ALL - OTHERS - 512) * MIB


async def test_what_is_not_needed_may_fail(
    host: Host, environment: Any, monkeypatch: pytest.MonkeyPatch
):
    async def op(*_: object, **__: object) -> OpResult:
        raise BackendError("it is away")

    monkeypatch.setattr(host, "checked_op", op)
    await Dom0Memory(environment("off")).make_room(512 * MIB)
    with pytest.raises(XenError, match="dom0 could not be asked for memory: it is"):
        await Dom0Memory(environment("on")).make_room(512 * MIB)


async def test_xenstored_that_is_not_there(environment: Any, tmp_path: Path):
    env = environment()
    env = env.replace(where=Backend("xen", None, tmp_path / "no", tmp_path, tmp_path))
    with pytest.raises(XenError, match="dom0 could not be asked for memory: can't"):
        await Dom0Memory(env).make_room(512 * MIB)


# -- given back ------------------------------------------------------------------------


async def test_what_others_have_changed_meanwhile_stays(host: Host, environment: Any):
    memory = Dom0Memory(environment())
    await memory.make_room(512 * MIB)
    host.store.put(TARGET, str(int(host.node(TARGET)) - 7 * MIB))
    await memory.give_back()
    assert host.node(TARGET) == str((ALL - OTHERS - 7) * MIB)


async def test_dom0_gets_no_more_than_it_may_have(host: Host, environment: Any):
    memory = Dom0Memory(environment())
    await memory.make_room(512 * MIB)
    host.store.put(TARGET, host.node(STATIC_MAX))
    await memory.give_back()
    assert host.node(TARGET) == host.node(STATIC_MAX)


async def test_what_can_not_be_given_back_is_told(
    host: Host, environment: Any, monkeypatch: pytest.MonkeyPatch
):
    memory = Dom0Memory(environment())
    await memory.make_room(512 * MIB)

    async def transact(*_: object) -> None:
        raise XenstoreError("it is away")

    monkeypatch.setattr(Xenstore, "transact", transact)
    told, remark = await memory.give_back()
    assert told == "dom0 may have its memory again: FAILED: it is away"
    assert remark.startswith("dom0 has given 512 MiB")


async def test_answer_that_was_lost_changes_nothing_twice(
    host: Host, environment: Any, monkeypatch: pytest.MonkeyPatch
):
    transact = Xenstore.transact

    async def twice(self: Xenstore, work: Any) -> Any:
        await transact(self, work)
        return await transact(self, work)

    monkeypatch.setattr(Xenstore, "transact", twice)
    memory = Dom0Memory(environment())
    await memory.make_room(512 * MIB)
    assert memory.taken == 512 * MIB
    assert host.node(TARGET) == str((ALL - OTHERS - 512) * MIB)


# -- for a restore, or what is to come -------------------------------------------------


class Ended:
    """A job that has ended."""

    def __init__(self, failure: JobError | None) -> None:
        self.failure = failure
        self.record = Record()


def restore(env: Environment, **built: int) -> XenRestore:
    created = {"name": "web", "type": "pvh"}
    config = json.dumps({"c_info": created, "b_info": {"shadow_memkb": 0, **built}})
    wanted = Wanted(config=config.encode(), name=None, claim_pages=400 * PAGES)
    return XenRestore(env, XenToolstack(env), wanted)


async def checked(env: Environment, monkeypatch: pytest.MonkeyPatch) -> XenRestore:
    """Give a restore for which there is room."""
    monkeypatch.setattr(restore_xen, "list_domains", no_domains)
    monkeypatch.setattr(restore_xen, "check_input", no_objection)
    operation = restore(env, target_memkb=300 * MIB)
    await operation.choose()
    await operation.check(cast(StreamFd, None))
    return operation


async def no_domains(_: Environment) -> list[DomainInfo]:
    return []


async def no_objection(*_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("failure", "guest", "again"),
    [
        (None, GuestState.PAUSED, False),
        (JobError("it died"), GuestState.GONE, True),
        (JobError("open"), GuestState.PAUSED, False),
        (JobError("open"), GuestState.UNKNOWN, False),
    ],
)
async def test_dom0_has_it_again_if_no_domain_is_left(
    host: Host,
    environment: Any,
    monkeypatch: pytest.MonkeyPatch,
    failure: JobError | None,
    guest: GuestState,
    again: bool,
):
    operation = await checked(environment(), monkeypatch)
    assert host.free == 402  # what comes, which is more than what is to come
    ended = Ended(failure)
    settled = await operation.settle_dom0(cast(Run, ended), Settled(guest, ("first",)))
    had = ALL - OTHERS
    assert host.node(TARGET) == str((had if again else had - 402) * MIB)
    given_back = ("dom0 may have its memory again",) if again else ()
    assert settled == Settled(guest, ("first", *given_back))
    assert len(ended.record.remarks) == (not again)


@pytest.mark.parametrize(
    ("failure", "told"),
    [(XenError(-3, 5), True), (JobError("it died"), False), (None, False)],
)
async def test_what_lacked_is_told_of_a_domain_that_could_not_be_made(
    host: Host,
    environment: Any,
    monkeypatch: pytest.MonkeyPatch,
    failure: JobError | None,
    told: bool,
):
    host.size -= 60
    operation = await checked(environment("off"), monkeypatch)
    ended = Ended(failure)
    await operation.settle_dom0(cast(Run, ended), Settled(GuestState.GONE))
    words = "it needs 402 MiB, and 60 MiB were free: destroy or shrink a domain, or "
    assert ended.record.remarks == [f"{words}dom0 by `xl mem-set 0 SIZE`"] * told


async def test_what_dom0_has_to_give_is_counted_before_a_domain_comes(
    host: Host, environment: Any
):
    host.size -= 100
    most = (ALL - OTHERS - 128) * MIB
    await check_memory(environment(), most)
    numbers = "needs 2945 MiB of memory, and the target has 100 MiB free, and its dom0"
    with pytest.raises(MigrationRefused, match=f"{numbers} 2844 MiB to give: destroy"):
        await check_memory(environment(), most + 1)
    with pytest.raises(MigrationRefused, match="the target has 100 MiB free: destroy"):
        await check_memory(environment("off"), most)
    assert not host.node(TARGET)


def test_other_words_are_refused(environment: Any):
    with pytest.raises(UsageError, match="autoballoon is 'yes': it is one of on, off"):
        environment("yes")


# -- what a domain needs ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "built", "comes", "needs"),
    [
        ("pvh", {"target_memkb": 131072, "shadow_memkb": 1000}, 0, 135168),
        ("pv", {"target_memkb": 131072, "shadow_memkb": 1000}, 0, 133120),
        # 4 * (256 * 2 + 2 * 128)
        ("hvm", {"target_memkb": 131072, "max_vcpus": 2}, 0, 137216),
        ("hvm", {"target_memkb": 131072, "shadow_memkb": dom0.UNSAID}, 0, 135168),
        ("pvh", {"target_memkb": 65536, "shadow_memkb": 0}, 131072, 133120),
        (
            "pvh",
            {"target_memkb": 1024, "iommu_memkb": 4096, "shadow_memkb": 0},
            0,
            8192,
        ),
        ("pvh", {"shadow_memkb": 1000}, 0, 0),
        ("pvh", {"target_memkb": "much"}, 0, 0),
        ("pvh", None, 1000, 0),
    ],
)
def test_domain_needs_what_libxl_counts(kind: str, built: Any, comes: int, needs: int):
    config = {"c_info": {"type": kind}, "b_info": built}
    assert needed_kib(config, comes) == needs
