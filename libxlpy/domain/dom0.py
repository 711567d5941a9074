"""Memory that dom0 gives for a domain that is to come, as with `xl` (``autoballoon``).

Unless Xen was booted with ``dom0_mem=``, dom0 has all memory. It gives what lacks once
its target in xenstore is lower; how fast is for its kernel to say.

Xen: tools/xl/xl_vmcontrol.c, freemem(); tools/libs/light/libxl_mem.c,
libxl_set_memory_target(), libxl_wait_for_memory_target().
"""

import asyncio
import errno
from contextlib import AbstractAsyncContextManager
from typing import Any

from libxlpy.aio import finish
from libxlpy.domain import hypercalls
from libxlpy.domain.hypercalls import HostMemory
from libxlpy.domain.info import DomainFacts
from libxlpy.errors import JobError, TimedOut, XenError
from libxlpy.process.environment import Environment
from libxlpy.process.link import HelperLink
from libxlpy.results.report import FAILED
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE

DOM0 = 0
TARGET = "/local/domain/0/memory/target"
STATIC_MAX = "/local/domain/0/memory/static-max"
#: KiB that dom0 keeps in any case; Xen: libxl_internal.h, LIBXL_MIN_DOM0_MEM.
KEEPS = 128 * 1024
#: How often it is asked for what still lacks, and seconds that it may give nothing.
TRIES, STANDS = 3, 10.0
LOOK_AGAIN = 0.1
#: KiB; Xen: libxl_internal.h, LIBXL_HVM_EXTRA_MEMORY, LIBXL_PV_EXTRA_MEMORY.
EXTRA, EXTRA_OF_PV = 2048, 1024
ROUNDED_TO = 2048
#: libxl's word for "not said"; Xen: tools/include/libxl.h, LIBXL_MEMKB_DEFAULT.
UNSAID = (1 << 64) - 1
GIVEN_BACK = "dom0 may have its memory again"
REMEDY = "destroy or shrink a domain, or dom0 by `xl mem-set 0 SIZE`"


def needed_kib(config: dict[str, Any], memory_kib: int = 0) -> int:
    """Give the memory that a domain takes, as libxl counts it; 0 if it can't be told.

    Args:
        config: Of the domain, libxl's.
        memory_kib: What it has where it comes from, if that is known.

    Xen: tools/libs/light/libxl_mem.c, libxl__domain_need_memory_calculate();
    libxl_utils.c, libxl_get_required_shadow_memory().
    """
    built = config.get("b_info")
    if not isinstance(built, dict):
        return 0

    def said(key: str, default: int) -> int:
        value = built.get(key)
        return value if type(value) is int and 0 <= value < UNSAID else default

    memory = max(said("target_memkb", 0), memory_kib)
    if not memory:
        return 0
    if config["c_info"].get("type") == "pv":
        needed = memory + EXTRA_OF_PV
    else:
        tables = 256 * said("max_vcpus", 1) + 2 * (said("max_memkb", memory) // 1024)
        needed = memory + said("shadow_memkb", 4 * tables) + EXTRA
    needed += said("iommu_memkb", 0)
    return -(-needed // ROUNDED_TO) * ROUNDED_TO


async def spare_kib(env: Environment) -> int:
    """Give what dom0 could give of its memory for a domain, 0 if it is not to.

    Raises:
        LibxlpyError: Hypervisor or xenstored can't be asked.
    """
    if env.autoballoon == "off" or env.backend.kind != "xen":
        return 0  # an embedded host has no dom0
    async with env.hypercalls() as ops:
        if not _is_to_give(env, await hypercalls.host_memory(ops)):
            return 0
        async with _store(env) as store:
            return await _spare(ops, store)


def _is_to_give(env: Environment, memory: HostMemory) -> bool:
    sized = env.autoballoon == "auto" and memory.is_dom0_sized
    return env.autoballoon != "off" and not sized


def _numbers(needed: int, memory: HostMemory, are: str = "are") -> str:
    mib = -(-needed // 1024)
    return f"it needs {mib} MiB, and {memory.free_kib // 1024} MiB {are} free"


async def _spare(ops: HelperLink, store: Xenstore) -> int:
    facts = await hypercalls.get(ops, DOM0)
    now = await Wanted.of(store, facts)
    return max(min(now.target, facts.memory_kib) - KEEPS, 0)


class Wanted(Value):
    """What dom0 is told to have, KiB."""

    target: int
    most: int

    @classmethod
    async def of(cls, store: Xenstore, facts: DomainFacts, number: int = 0) -> "Wanted":
        """Read it; nobody says it before it changes for the first time."""
        target = await store.read_text(TARGET, transaction=number)
        most = await store.read_text(STATIC_MAX, transaction=number)
        return cls(
            int(target) if target.isdecimal() else facts.memory_kib,
            int(most) if most.isdecimal() else facts.max_pages * PAGE_SIZE // 1024,
        )


class Dom0Memory:
    """What one job has of dom0."""

    def __init__(self, env: Environment) -> None:
        """Begin with nothing."""
        self._env = env
        #: KiB that its target is lower.
        self.taken = 0
        #: What lacks, and dom0 is not to give; "" if nothing does.
        self.lack = ""

    # ----- taken ------------------------------------------------------------------

    async def make_room(self, needed: int, deadline: str = "build") -> None:
        """Have some memory free, if need be by dom0, if that is to give any.

        If it is not, whether there is enough is for others to say: libxl counts a
        little more than a domain takes.

        Args:
            needed: KiB.
            deadline: Which of ours bounds how long dom0 takes to give it.

        Raises:
            XenError: There is not so much; what was taken is for :meth:`give_back`.
            TimedOut: dom0 is at it, and slow.
        """
        seconds: float = getattr(self._env.deadlines, deadline)
        try:
            async with asyncio.timeout(seconds), self._env.hypercalls() as ops:
                await self._make_room(ops, needed)
        except TimeoutError as exc:
            raise TimedOut(deadline, seconds) from exc
        except JobError:
            raise
        except LibxlpyError as exc:
            if self._env.autoballoon == "off":
                return  # that was only for a better word, should it fail
            text = f"dom0 could not be asked for memory: {exc}"
            raise XenError(-1, errno.EIO, how=text) from exc

    async def _make_room(self, ops: HelperLink, needed: int) -> None:
        memory = await hypercalls.host_memory(ops)
        if needed <= memory.free_kib:
            return
        if not _is_to_give(self._env, memory):
            self.lack = f"{_numbers(needed, memory, 'were')}: {REMEDY}"
            return
        async with _store(self._env) as store:
            for _ in range(TRIES):
                lacks = needed - (await hypercalls.host_memory(ops)).free_kib
                if lacks <= 0:
                    return
                if lacks > await _spare(ops, store):
                    break
                target = await self._shift(ops, store, -lacks)
                if not await _is_reached(ops, target):
                    break
            await self._check(ops, store, needed)

    async def _check(self, ops: HelperLink, store: Xenstore, needed: int) -> None:
        memory = await hypercalls.host_memory(ops)
        if needed <= memory.free_kib:
            return
        more = f"dom0 could give {await _spare(ops, store) // 1024} MiB more"
        text = f"not enough memory: {_numbers(needed, memory)}, {more}: {REMEDY}"
        raise XenError(-1, errno.ENOMEM, how=text)

    def remarks(self) -> list[str]:
        """Tell what it has, if anything."""
        if not self.taken:
            return []
        mib = -(-self.taken // 1024)
        remedy = "`xl mem-set 0 SIZE` gives it back"
        return [f"dom0 has given {mib} MiB of its memory: {remedy}"]

    # ----- given back -------------------------------------------------------------

    async def give_back(self) -> list[str]:
        """Let dom0 have what it gave; tell so."""
        if not self.taken:
            return []
        seconds = self._env.deadlines.repair
        try:
            async with (
                asyncio.timeout(seconds),
                self._env.hypercalls() as ops,
                _store(self._env) as store,
            ):
                await self._shift(ops, store, self.taken)
        except TimeoutError:
            return [f"{GIVEN_BACK}{FAILED}: not in {seconds:g} s", *self.remarks()]
        except LibxlpyError as exc:
            return [f"{GIVEN_BACK}{FAILED}: {exc}", *self.remarks()]
        return [GIVEN_BACK]

    # ----- its target -------------------------------------------------------------

    async def _shift(self, ops: HelperLink, store: Xenstore, by: int) -> int:
        """Change dom0's target, and what is taken; give the new one.

        By a difference: others may change it, too. Once begun it is done, or not: what
        is taken is known in any case.
        """
        facts = await hypercalls.get(ops, DOM0)
        shift = _Shift(store, facts, by)

        async def done() -> None:
            before, after = await store.transact(shift.work)
            self.taken = max(self.taken + before - after, 0)

        await finish(asyncio.create_task(done()))
        return shift.after


class _Shift:
    """One change of dom0's target, in a transaction that may have to be repeated."""

    def __init__(self, store: Xenstore, facts: DomainFacts, by: int) -> None:
        self._store = store
        self._facts = facts
        self._by = by
        self._before = self.after = -1

    async def work(self, number: int) -> tuple[int, int]:
        """Write it; give the target before and after."""
        now = await Wanted.of(self._store, self._facts, number)
        if now.target != self.after:  # else it was done, and the answer was lost
            self._before = now.target
            self.after = min(now.target + self._by, now.most)
        memory = f"/vm/{self._facts.uuid}/memory"
        for path, value in (
            (TARGET, self.after),
            (STATIC_MAX, now.most),
            (memory, self.after // 1024),
        ):
            await self._store.write(path, b"%d" % value, transaction=number)
        return self._before, self.after


async def _is_reached(ops: HelperLink, target: int) -> bool:
    """Wait until dom0 has no more than this, or gives nothing more; tell whether."""
    loop = asyncio.get_running_loop()
    least, since = None, loop.time()
    while (size := (await hypercalls.get(ops, DOM0)).memory_kib) > target:
        if least is None or size < least:
            least, since = size, loop.time()
        elif loop.time() - since > STANDS:
            return False
        await asyncio.sleep(LOOK_AGAIN)
    return True


def _store(env: Environment) -> AbstractAsyncContextManager[Xenstore]:
    return connect(env.backend.xenstore_socket, timeout=env.deadlines.xenstore)
