"""Remus, as libxl has it: the call and its arguments; the engine is not there yet.

A call is checked as it will be, and then refused as not implemented: a program can be
written for it, and learns at once, with nothing done, that there are no checkpoints.
"""

from collections.abc import Awaitable
from typing import Any

from libxlpy.context import Context
from libxlpy.domain import hypercalls
from libxlpy.errors import NotSupported, UsageError
from libxlpy.libxl.ao import AsyncopHow
from libxlpy.libxl.ctx import LibxlCtx
from libxlpy_protocol.fields import brief
from libxlpy_protocol.value import Value


class RemusInfo(Value):
    """What is wanted of checkpoints; Xen: ``libxl_domain_remus_info``."""

    #: Milliseconds between two checkpoints.
    interval: int
    #: COLO instead of Remus; as with libxl there is no default.
    colo: bool | None = None
    #: The next four may only be off if this is on.
    allow_unsafe: bool = False
    #: Send to nobody.
    blackhole: bool = False
    #: Hold back what the guest sends until its checkpoint is complete.
    netbuf: bool = True
    #: Same for its disks.
    diskbuf: bool = True


def libxl_domain_remus_start(
    ctx: LibxlCtx,
    info: RemusInfo,
    domid: int,
    send_fd: int,
    recv_fd: int,
    ao_how: AsyncopHow | None = None,
) -> int:
    """Checkpoint a domain to a backup: refused with ``ERROR_NI``.

    ``Context.xc_domain_save(stream_type=StreamType.REMUS)`` takes checkpoints for a
    toolstack that has an engine of its own.

    Args:
        ctx: From ``libxl_ctx_alloc``.
        info: What is wanted.
        domid: Of the domain.
        send_fd: Open for writing; stays the caller's.
        recv_fd: Open for reading: what the backup acknowledges.
        ao_how: How the end is told.
    """

    async def begin(context: Context) -> Awaitable[Any]:
        hypercalls.check_domid(domid)
        _check(info)
        text = "Remus is not implemented yet: use xc_domain_save with StreamType.REMUS"
        raise NotSupported(text)

    return ctx.initiate(f"Remus of domain {domid}", domid, how=ao_how, begin=begin)


def _check(info: object) -> None:
    """Refuse what libxl refuses.

    Raises:
        UsageError: It is one of these.
    """
    if not isinstance(info, RemusInfo):
        raise UsageError(f"info must be a RemusInfo: {brief(info)}")
    if type(info.interval) is not int or info.interval < 1:
        raise UsageError(f"interval {brief(info.interval)}: milliseconds from 1 on")
    if info.colo is not False:
        raise UsageError(
            f"colo {brief(info.colo)}: must be False, there is no COLO here"
        )
    if not info.allow_unsafe and (
        info.blackhole or not info.netbuf or not info.diskbuf
    ):
        text = "blackhole, or no netbuf or diskbuf, is unsafe: needs allow_unsafe"
        raise UsageError(text)
