"""Operations on domains, with libxl's names and arguments.

Each takes ``ao_how``: None waits and returns the end's code; else the call returns
``AO_INPROGRESS`` or why it was refused, a negative code. Details are logged by
``libxlpy.libxl`` and given by ``libxl_outcome``.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from libxlpy.context import Context
from libxlpy.domain import hypercalls
from libxlpy.errors import UsageError
from libxlpy.libxl.ao import AsyncopHow
from libxlpy.libxl.ctx import LibxlCtx
from libxlpy.operations.flags import SuspendFlags
from libxlpy.results.of_jobs import RestoreResult
from libxlpy_protocol.fields import brief

LIBXL_SUSPEND_DEBUG = int(SuspendFlags.DEBUG)
LIBXL_SUSPEND_LIVE = int(SuspendFlags.LIVE)


class DomidRef:
    """Where a domid is put, as C's ``uint32_t *domid``; -1 before."""

    def __init__(self, value: int = -1) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        """Compare the domids."""
        return isinstance(other, DomidRef) and self.value == other.value

    def __repr__(self) -> str:
        """Show the call that makes it."""
        return f"DomidRef(value={self.value})"


def libxl_domain_suspend(
    ctx: LibxlCtx, domid: int, fd: int, flags: int, ao_how: AsyncopHow | None = None
) -> int:
    """Save a domain to ``fd``; on success it is left suspended, else it runs again.

    Args:
        ctx: From ``libxl_ctx_alloc``.
        domid: Of the domain.
        fd: Open for writing; stays the caller's.
        flags: ``LIBXL_SUSPEND_LIVE``, ``LIBXL_SUSPEND_DEBUG``; others are refused.
        ao_how: How the end is told.
    """

    async def begin(context: Context) -> Awaitable[Any]:
        return await context.domain_suspend(domid, fd, _suspend_flags(flags))

    return ctx.initiate(f"save of domain {domid}", domid, how=ao_how, begin=begin)


def _suspend_flags(flags: object) -> SuspendFlags:
    if isinstance(flags, int) and flags >= 0:
        return SuspendFlags(flags)  # what it has not is refused by the save
    raise UsageError(f"unknown flags: {brief(flags)}")


def libxl_domain_create_restore(
    ctx: LibxlCtx,
    d_config: bytes,
    domid: DomidRef,
    restore_fd: int,
    ao_how: AsyncopHow | None = None,
) -> int:
    """Make a domain from a stream; it is left paused, as libxl leaves it.

    Args:
        ctx: From ``libxl_ctx_alloc``.
        d_config: Configuration as JSON, as the save file has it.
        domid: Gets the new domain's domid before the end is told.
        restore_fd: Open for reading, at the stream's first byte; stays the caller's.
        ao_how: How the end is told.
    """

    async def begin(context: Context) -> Awaitable[Any]:
        if not isinstance(domid, DomidRef):
            raise UsageError(f"domid must be a DomidRef: {brief(domid)}")
        return await context.domain_restore(restore_fd, config=d_config, paused=True)

    def done(result: RestoreResult) -> None:
        domid.value = result.domid

    return ctx.initiate("restore", -1, how=ao_how, begin=begin, done=done)


def libxl_domain_resume(
    ctx: LibxlCtx, domid: int, suspend_cancel: int, ao_how: AsyncopHow | None = None
) -> int:
    """Let a suspended domain run again.

    Args:
        ctx: From ``libxl_ctx_alloc``.
        domid: Of the domain.
        suspend_cancel: 1: its suspend call returns "cancelled"; 0: it comes back as
            after a restore.
        ao_how: How the end is told.
    """

    async def work(context: Context) -> None:
        await context.domain_resume(domid, bool(suspend_cancel))

    return _simple(ctx, "resume", domid, ao_how, work)


def libxl_domain_pause(
    ctx: LibxlCtx, domid: int, ao_how: AsyncopHow | None = None
) -> int:
    """Stop a domain's vcpus."""
    return _simple(ctx, "pause", domid, ao_how, lambda c: c.domain_pause(domid))


def libxl_domain_unpause(
    ctx: LibxlCtx, domid: int, ao_how: AsyncopHow | None = None
) -> int:
    """Let a paused domain run."""
    return _simple(ctx, "unpause", domid, ao_how, lambda c: c.domain_unpause(domid))


def libxl_domain_destroy(
    ctx: LibxlCtx, domid: int, ao_how: AsyncopHow | None = None
) -> int:
    """End a domain at once."""
    return _simple(ctx, "destroy", domid, ao_how, lambda c: c.domain_destroy(domid))


def _simple(
    ctx: LibxlCtx,
    what: str,
    domid: int,
    how: AsyncopHow | None,
    work: Callable[[Context], Awaitable[None]],
) -> int:
    """Do what is one call of the context, refused at once only for its domid."""

    async def begin(context: Context) -> Awaitable[None]:
        hypercalls.check_domid(domid)
        return work(context)

    return ctx.initiate(f"{what} of domain {domid}", domid, how=how, begin=begin)
