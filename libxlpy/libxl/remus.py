"""Remus, as libxl has it: the call and its arguments.

A call is checked, and then refused as not implemented, with nothing done: what libxl
sends has no handshake, and its other end acknowledges nothing.
``Context.domain_remus_start`` is what protects a domain.
"""

from collections.abc import Awaitable
from typing import Any

from libxlpy.context import Context
from libxlpy.domain import hypercalls
from libxlpy.errors import NotSupported, UsageError
from libxlpy.libxl.ao import AsyncopHow
from libxlpy.libxl.ctx import LibxlCtx
from libxlpy.remus.info import RemusInfo, checked


def libxl_domain_remus_start(
    ctx: LibxlCtx,
    info: RemusInfo,
    domid: int,
    send_fd: int,
    recv_fd: int,
    ao_how: AsyncopHow | None = None,
) -> int:
    """Checkpoint a domain to a backup: refused with ``ERROR_NI``.

    ``Context.domain_remus_start`` protects a domain;
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
        if checked(info).colo is None:
            raise UsageError("colo None: must be False, as with libxl")
        text = "libxl's Remus acknowledges nothing: use Context.domain_remus_start"
        raise NotSupported(f"{text}, or xc_domain_save with StreamType.REMUS")

    return ctx.initiate(f"Remus of domain {domid}", domid, how=ao_how, begin=begin)
