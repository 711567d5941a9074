"""`xlpy list`: domains as `xl list` prints them."""

import json as json_text
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from libxlpy import BackendError, Context, DomainInfo
from libxlpy.cli.terminal.interrupt import ask
from libxlpy.cli.terminal.outcome import GOOD
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy_protocol.json_text import JsonError, parse_object

#: Source: Xen, tools/xl/xl_list.c, list_domains().
HEADER = "Name                                        ID   Mem VCPUs\tState\tTime(s)"

#: Of `xl list -l`: there are scripts that know a line by how it is indented.
INDENT = 4


def list_domains(settings: Settings, names: Sequence[str], *, json: bool) -> int:
    """Print the domains named, all if none is.

    Raises:
        DomainNotFound: One that was named does not exist.
    """

    async def look(ctx: Context) -> list[DomainInfo]:
        wanted = [await ctx.resolve(name) for name in names]
        domains = await ctx.list_domains()
        if not names:
            return domains
        found = {domain.domid: domain for domain in domains}
        return [found[domid] for domid in wanted if domid in found]

    domains = ask(settings, look)
    if json:
        settings.out.json(domains)
        return GOOD
    settings.out.fact(HEADER)
    for domain in domains:
        settings.out.fact(_row(domain))
    return GOOD


def list_configurations(settings: Settings, names: Sequence[str]) -> int:
    """Print what domains are made of, as JSON in `xl list -l`'s form; scripts parse it.

    As there, a domain without a configuration is left out.

    Raises:
        DomainNotFound: One that was named does not exist.
    """

    async def look(ctx: Context) -> list[dict[str, Any]]:
        wanted = [await ctx.resolve(name) for name in names]
        found = []
        for domid in wanted or [each.domid for each in await ctx.list_domains()]:
            with suppress(BackendError, JsonError):
                text = (await ctx.retrieve_config(domid)).rstrip(b"\0")
                config = parse_object(text)
                found.append({"domid": domid, "config": config})
        return found

    text = json_text.dumps(ask(settings, look), indent=INDENT)
    for line in text.splitlines():
        settings.out.fact(line)
    return GOOD


def _row(domain: DomainInfo) -> str:
    name = one_line(domain.name) or "(null)"
    return (
        f"{name:<40} {domain.domid:5d} {domain.memory_kib // 1024:5d} "
        f"{domain.vcpus:5d}     {state_letters(domain)}  "
        f"{domain.cpu_time_ns / 1e9:8.1f}"
    )


def state_letters(domain: DomainInfo) -> str:
    """Give the state as `xl list` does: six places, a letter for each that holds."""
    facts = {
        "r": domain.running,
        "b": domain.blocked,
        "p": domain.paused,
        "s": domain.shutdown,
        "c": domain.crashed,
        "d": domain.dying,
    }
    return "".join(letter if holds else "-" for letter, holds in facts.items())
