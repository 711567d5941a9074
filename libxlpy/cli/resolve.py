"""`xlpy migrate --resolve`: a migration that was left open, settled by facts.

Ask both hosts which copies there are, decide, destroy those that are not the domain,
and only then let the domain run, under its own name. `xlpy recover` does so, too.
"""

from collections.abc import Sequence

from libxlpy import (
    Context,
    DomainCopy,
    DomainInfo,
    LibxlpyError,
    MigrationVerdict,
    UsageError,
)
from libxlpy.cli.other_host import OtherHost
from libxlpy.cli.terminal.interrupt import run
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import told_if_long
from libxlpy_protocol.value import Value

HERE = "this host"


class ResolveOptions(Value, kw_only=True):
    """Options of `xlpy migrate --resolve`, see `options.moves`."""

    command: str
    domain: str
    target: str | None
    #: "here" or "there", as the user has seen; None to be found out.
    runs: str | None


def resolve(settings: Settings, options: ResolveOptions) -> int:
    """Settle a migration; give the exit status."""
    return run(settings.signals, lambda _: _resolve(settings, options))


async def _resolve(settings: Settings, options: ResolveOptions) -> int:
    async with Context(settings.backend, settings.host) as ctx:
        if options.target is None:
            here = Resolve(settings, ctx, options.domain)
            await here.settle_here(is_here=options.runs == "here")
            return GOOD
        words, name = f"{options.command} {options.target}", options.target
        other = OtherHost(words, name, settings.out.note)
        await Resolve(settings, ctx, options.domain).ask(other)
    return GOOD


class Resolve:
    """One domain whose migration was left open."""

    def __init__(self, settings: Settings, ctx: Context, domain: str) -> None:
        """Take it by its name, whatever is appended to that, or its domid."""
        self._settings = settings
        self._ctx = ctx
        self._domain = domain
        self._other: OtherHost

    async def ask(self, other: OtherHost, *, if_it_has_one: bool = False) -> DomainCopy:
        """Look at both hosts, decide, and act.

        Args:
            other: The host at the other end.
            if_it_has_one: It may be another host than the one of the migration: if it
                has no copy, that says nothing.

        Returns:
            The copy that is the domain.

        Raises:
            CommandFailed: It can't be asked or facts don't tell: nothing was changed;
                or something failed: that can be done again.
        """
        self._other = other
        here = self._copies(HERE, await self._ctx.list_domains())
        what = f"what runs on {one_line(other.name)}"
        with told_if_long(self._settings.out, what):
            there = self._copies(other.name, await other.domains())
        if if_it_has_one and not there:
            raise CommandFailed(f"{one_line(other.name)} has no copy of it")
        try:
            verdict = MigrationVerdict.of([*here, *there])
        except UsageError as exc:
            text = f"nothing was changed for {one_line(self._domain)}: {exc}"
            raise CommandFailed(text) from exc
        for copy in verdict.drop:
            await self._settle(copy, is_here=False)
        await self._settle(verdict.keep, is_here=True)
        return verdict.keep

    async def settle_here(self, *, is_here: bool) -> None:
        """Settle this end as the user has seen; errors as above."""
        copies = self._copies(HERE, await self._ctx.list_domains())
        if len(copies) != 1:
            told = "; ".join(map(str, copies)) or "there is none"
            raise CommandFailed(f"which copy is meant: {told}; give its domid")
        await self._settle(copies[0], is_here=is_here)

    def _copies(self, host: str, domains: Sequence[DomainInfo]) -> list[DomainCopy]:
        wanted = self._domain
        name = DomainCopy.own_name_of(wanted)
        found = [info for info in domains if DomainCopy.own_name_of(info.name) == name]
        if wanted.isascii() and wanted.isdecimal() and host == HERE:
            found = [info for info in domains if str(info.domid) == wanted]
            if not found:
                raise CommandFailed(f"no such domain: {wanted}")
            # Go on by name: a domid is of one host.
            self._domain = DomainCopy.own_name_of(found[0].name)
        return [DomainCopy(host, info) for info in found]

    async def _settle(self, copy: DomainCopy, *, is_here: bool) -> None:
        what = "runs" if is_here else "is destroyed"
        try:
            if copy.host == HERE:
                info = copy.info
                await self._ctx.migration_settle(info.domid, info.uuid, is_here=is_here)
            else:
                await self._other.settle(copy, is_here=is_here)
        except LibxlpyError as exc:
            done = "nothing more was done"
            raise CommandFailed(f"{copy}; to settle it failed: {exc}; {done}") from exc
        self._settings.changed = True
        name = copy.own_name
        self._settings.out.note(f"'{one_line(name)}' on {one_line(copy.host)} {what}")
