"""The domain that a command is about."""

from libxlpy import Context, DomainInfo
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy.cli.terminal.output import one_line


async def find_domain(ctx: Context, domain: str) -> DomainInfo:
    """Give a domain by name or domid.

    Raises:
        DomainNotFound: There is none.
        CommandFailed: It has ended meanwhile.
    """
    domid = await ctx.resolve(domain)
    for info in await ctx.list_domains():
        if info.domid == domid:
            return info
    raise CommandFailed(f"domain {domid} has just ended")


def title(domain: DomainInfo) -> str:
    """Give what a domain is called in messages."""
    return f"'{one_line(domain.name)}' (domid {domain.domid})"
