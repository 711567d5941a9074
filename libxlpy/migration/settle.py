"""Settle one end of a migration that was left open, as facts of both ends have it."""

from libxlpy.domain import requests
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.notice import withdraw
from libxlpy.domain.resume import domain_resume, domain_unpause
from libxlpy.errors import UsageError
from libxlpy.migration.verdict import DomainCopy
from libxlpy.process.environment import Environment
from libxlpy.recovery.claim import claim, left_open


async def settle(env: Environment, domid: int, uuid: str, *, is_here: bool) -> None:
    """Have this end's copy run under its own name, or be gone.

    Args:
        env: Backend, deadlines, the helper for hypercalls.
        domid: Of the copy.
        uuid: Its own.
        is_here: It is the domain, see :class:`.MigrationVerdict`; else it is destroyed.

    Raises:
        DomainNotFound: There is no such domain, or another has its domid.
        DomainBusy: Somebody works on it.
        UsageError: It is no copy that a migration has left.
        LibxlpyError: It could not be done; all is as before, or can be done again.
    """
    of = left_open(env, domid)
    async with claim(env, domid, "a migration to settle", of=of):
        info = await requests.look(env, domid)
        if info.uuid != uuid:
            raise UsageError(f"domain {domid} is another domain now: left alone")
        if not is_here:
            await requests.destroy(env, domid, uuid)
            return
        await _let_run(env, info)
        await withdraw(env, domid, uuid)
        name = DomainCopy.own_name_of(info.name)
        if name != info.name:
            await requests.rename(env, domid, name, uuid=uuid, old=info.name)


async def _let_run(env: Environment, info: DomainInfo) -> None:
    if info.shutdown:
        await domain_resume(env, info.domid, info.uuid, suspend_cancel=True)
    elif info.paused:
        await domain_unpause(env, info.domid, info.uuid)
