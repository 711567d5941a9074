"""A short look at what a running guest writes.

Log-dirty mode is on for a second, in which the guest is a little slower. The helper
switches it off again, whatever becomes of us; we do if that dies, and ``recover``, by
what is in the journal, if both do.
"""

import asyncio
import contextlib

from libxlpy.aio import finish
from libxlpy.domain import requests
from libxlpy.errors import BackendError, DomainOpError
from libxlpy.journal import Identity
from libxlpy.journal.entry import Stream
from libxlpy.process.environment import Environment, dismiss, start_ops_helper
from libxlpy.recovery.claim import Claim, claim
from libxlpy_protocol.enums import Op
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.value import Value

#: How long it takes; the helper does nothing else meanwhile.
LOOK_MS = 1000
VALUES = 4
NO_STREAM = Stream(path="", regular=False, device=0, inode=0, birth_ns=0, offset=0)


class GuestWrites(Value):
    """How many pages a guest has written at least once, from some moment on."""

    #: In the first half of the look, and its seconds.
    half: int
    half_seconds: float
    #: In all of it.
    pages: int
    seconds: float


async def look_at_writes(env: Environment, domid: int, uuid: str) -> GuestWrites:
    """See what a guest writes.

    Args:
        env: Backend, deadlines.
        domid: Of the domain.
        uuid: Of the domain that is meant.

    Raises:
        DomainBusy: Somebody else works on it.
        DomainReused: Another has its domid.
        DomainOpError: Its writes can't be logged, or are for somebody else.
        BackendError: The helper died, or nothing can be written down.
    """
    async with claim(env, domid, "a look") as mine:
        mine.begin(
            kind="xc_domain_save",
            what=f"look at what domain {domid} writes",
            uuid=uuid,
            type="",
            on_parent_loss="abort_and_resume",
            stream=NO_STREAM,
            state_path="",
        )
        try:
            found = await _looked(env, mine, uuid)
        except BackendError:
            await _switch_off(env, mine, uuid)
            raise
        except BaseException:
            mine.close()
            raise
        mine.close()
    return found


async def _looked(env: Environment, mine: Claim, uuid: str) -> GuestWrites:
    link = await start_ops_helper(env)
    try:
        with contextlib.suppress(OSError):  # it is written down without the helper
            mine.note({"helpers": (Identity.of(link.process.pid),)})
        result = await link.op(Op.WRITES, mine.domid, LOOK_MS, uuid=uuid)
    finally:
        await finish(asyncio.create_task(dismiss(link)))
    if result.retval < 0 or len(result.values) != VALUES:
        raise DomainOpError("WRITES", mine.domid, result.retval, result.errnoval)
    half, pages, half_ns, ns = result.values
    return GuestWrites(half, half_ns / 1e9, pages, ns / 1e9)


async def _switch_off(env: Environment, mine: Claim, uuid: str) -> None:
    """Do what a dead helper could not; if that fails, too, it is for ``recover``."""
    try:
        await requests.do(env, Op.LOGDIRTY_OFF, mine.domid, uuid)
    except LibxlpyError:
        mine.leave()
    else:
        mine.close()
