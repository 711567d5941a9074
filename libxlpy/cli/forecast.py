"""`xlpy migrate --dry-run`: would it go, and how; nothing is done."""

from libxlpy import (
    Context,
    Deadlines,
    DomainInfo,
    JobError,
    LibxlpyError,
    MigrationCommand,
    MigrationForecast,
    MigrationRefused,
)
from libxlpy.cli.config import Configuration, read_config, stored, with_domid
from libxlpy.cli.domains import find_domain, title
from libxlpy.cli.migrate import MigrateOptions, rune
from libxlpy.cli.terminal.interrupt import run
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.relay import Relay
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import HYPERVISOR, told_if_long
from libxlpy.cli.xl_config import as_json
from libxlpy_protocol.xen import PAGE_SIZE

MIB = 1 << 20
#: MiB a second that a network is taken to do: a gigabit, nearly.
RATE = 100
NOT_TOUCHED = "guest was not touched"


def forecast(settings: Settings, options: MigrateOptions, rate: int | None) -> int:
    """Tell whether a domain could move, and how; give the exit status."""
    config = read_config(settings.out, options.config) if options.config else None
    return run(
        settings.signals, lambda _: _Forecast(settings, options, rate).run(config)
    )


class _Forecast:
    """One `xlpy migrate --dry-run`."""

    def __init__(
        self, settings: Settings, options: MigrateOptions, rate: int | None
    ) -> None:
        self._settings = settings
        self._out = settings.out
        self._options = options
        self._rate = rate

    async def run(self, override: Configuration | None) -> int:
        """Do it all, with a configuration of the user's if there is one."""
        options, settings = self._options, self._settings
        async with Context(settings.backend, settings.host, Deadlines()) as ctx:
            with told_if_long(self._out, HYPERVISOR):
                domain = await find_domain(ctx, options.domain)
                config = override or await stored(ctx, domain.domid)
            if options.config is not None:
                config = await as_json(config, options.config)
            if options.preserve_domid:
                config = with_domid(config, domain.domid)
            with Relay(self._out) as relay:
                words = rune(options, verbose=settings.verbose)
                command = MigrationCommand(words, relay.write_fd, later=True)
                try:
                    found = await self._ask(ctx, domain, config, command, relay)
                except LibxlpyError as exc:
                    raise self._refusal(domain, exc, command.end) from exc
        self._tell(domain, found)
        return GOOD

    async def _ask(
        self,
        ctx: Context,
        domain: DomainInfo,
        config: Configuration,
        command: MigrationCommand,
        relay: Relay,
    ) -> MigrationForecast:
        told = told_if_long(
            self._out, f"a receiver at {one_line(self._options.target)}"
        )
        with told:
            async with command:
                ends = (command.read_fd, command.write_fd, command.start)
                rate = (self._rate or RATE) * MIB
                found = await ctx.migration_forecast(
                    domain.domid, ends, rate, config.text
                )
                # One that speaks as xl takes our leave for a failure.
                relay.is_told = found.is_accepted
                return found

    def _tell(self, domain: DomainInfo, found: MigrationForecast) -> None:
        if self._options.json:
            about = {"domid": domain.domid, "name": domain.name}
            target = self._options.target
            self._out.json(
                {"result": "possible", "target": target, **about, **vars(found)}
            )
            return
        for line in _lines(domain, found, assumed=self._rate is None):
            self._out.fact(line)

    def _refusal(
        self, domain: DomainInfo, exc: LibxlpyError, command: str
    ) -> Exception:
        if self._options.json:
            about = {"domid": domain.domid, "name": domain.name, "command": command}
            self._out.json({"result": "failed", "error": str(exc), **about})
        how = "refused: " if isinstance(exc, MigrationRefused) else "would fail: "
        parts = [f"migration of {title(domain)} {how}{one_line(str(exc))}"]
        if isinstance(exc, JobError) and command:
            parts.append(f"the command to reach it: {command}")
        return CommandFailed("; ".join([*parts, NOT_TOUCHED]))


def _lines(domain: DomainInfo, found: MigrationForecast, *, assumed: bool) -> list[str]:
    taken = "the target takes it"
    if not found.is_accepted:
        taken = "a receiver is there, which speaks as xl: more it can't be asked"
    source = "which is assumed: see --rate" if assumed else "as given"
    ends = "converges" if found.converges else "does not converge"
    copy = f"{ends}, {found.seconds:.1f} s, {_mib(found.sent)} in {found.passes} passes"
    pause = f"downtime {found.downtime:.0f} ms and what devices take"
    return [
        f"{title(domain)}: {taken}",
        f"memory: {_mib(found.pages)}",
        f"writes: {found.writes:,.0f} pages/s, {_mib(found.writes)}/s",
        f"at {found.rate / MIB:.0f} MiB/s, {source}: {copy}, {pause}",
    ]


def _mib(pages: float) -> str:
    return f"{pages * PAGE_SIZE / MIB:,.1f} MiB"
