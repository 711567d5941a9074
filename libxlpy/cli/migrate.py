"""`xlpy migrate`, in order of execution.

Find the domain and its configuration, start what leads to the other host, send the
domain; it is destroyed here once it runs there.
"""

import shlex
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path

from libxlpy import (
    Context,
    DomainInfo,
    GuestState,
    HookFailed,
    JobError,
    JobEvent,
    LibxlpyError,
    MigrateResult,
    MigrationCommand,
    MigrationHooks,
    MigrationOpen,
    MigrationRefused,
    PeerFailed,
    PhaseEvent,
    PolicyAborted,
    SuspendFlags,
    UsageError,
)
from libxlpy.cli.config import Configuration, read_config, stored, with_domid
from libxlpy.cli.domains import find_domain, title
from libxlpy.cli.precopy import PrecopyOptions
from libxlpy.cli.report.report import Report
from libxlpy.cli.report.wanted import report_for
from libxlpy.cli.terminal.ended import result_facts, speed_text, tell_failure
from libxlpy.cli.terminal.follow import (
    GUESTS,
    STREAM,
    cause_text,
    follow,
    is_drawn_on,
    view_for,
)
from libxlpy.cli.terminal.interrupt import Interrupt, run
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.relay import Relay
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import HYPERVISOR, told_if_long
from libxlpy.cli.xl_config import as_json
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE

#: Phase that begins -> what `xl` says then.
STEPS = {
    "name": "migration sender: Target has acknowledged transfer.",
    "go": "migration sender: Giving target permission to start.",
    "moved": "migration sender: Target reports successful startup.",
}
#: What SUSE's `xl` says then.
BUSY = "Migration aborted as requested, domain is too busy."


class MigrateOptions(Value, kw_only=True):
    """Options of `xlpy migrate`, see `options.moves`."""

    config: Path | None
    command: str
    alone: bool
    paused: bool
    preserve_domid: bool
    debug: bool
    live: bool
    json: bool
    precopy: PrecopyOptions
    no_progress: int | None
    hooks: Path | None
    report: Path | None
    domain: str
    target: str


def migrate_domain(settings: Settings, options: MigrateOptions) -> int:
    """Migrate a domain to another host; give the exit status."""
    hooks = hooks_of(options.hooks, options.target)
    config = read_config(settings.out, options.config) if options.config else None
    return run(
        settings.signals,
        lambda interrupt: Migrate(settings, options, interrupt, hooks).run(config),
    )


def hooks_of(folder: Path | None, peer: str) -> MigrationHooks | None:
    """Give the hooks in a folder, or in the one that is used if none is named."""
    if folder is None:
        return MigrationHooks.default(peer)
    return MigrationHooks(folder, peer)


def rune(
    options: MigrateOptions,
    *,
    verbose: bool,
    paused: bool = False,
    landing: str | None = None,
) -> str:
    """Give the shell's command that leads to a receiver, or to where its stream goes.

    As `xl` does: with an empty ssh command the target itself is the command. Where
    there is no `xlpy` on the other host, it is `xl` that receives; that hears by an
    option that the domain is paused now, ours is told once it is suspended.
    """
    if not options.command:
        return options.target
    ours = f"xlpy{' -v' if verbose else ''} migrate-receive"
    if landing is not None:
        there = f"exec {ours} --stream {shlex.quote(landing)}"
        return f"exec {options.command} {options.target} {shlex.quote(there)}"
    arguments = ""
    for given, option in (
        (options.alone, " -e"),
        (options.debug, " -d"),
        (options.paused, " -p"),
    ):
        arguments += option if given else ""
    ours = f"command -v xlpy >/dev/null && exec {ours} --control{arguments}"
    arguments += " -p" if paused and not options.paused else ""
    there = f"{ours}; exec xl migrate-receive{arguments}"
    return f"exec {options.command} {options.target} {shlex.quote(there)}"


def reached_by(options: MigrateOptions) -> str:
    """Give what runs a command on the other host; "" if nothing does."""
    return f"{options.command} {options.target}" if options.command else ""


class Migrate:
    """One `xlpy migrate`."""

    def __init__(
        self,
        settings: Settings,
        options: MigrateOptions,
        interrupt: Interrupt,
        hooks: MigrationHooks | None,
    ) -> None:
        self._settings = settings
        self._out = settings.out
        self._options = options
        self._interrupt = interrupt
        self._hooks = hooks
        #: Of what leads to the other host; None for ours.
        self._stderr: int | None = None
        self._report: Report
        #: Our own handshake is spoken.
        self._own = False

    async def run(self, override: Configuration | None) -> int:
        """Do it all, with a configuration of the user's if there is one."""
        drawn = is_drawn_on() and not self._options.json
        with Relay(self._out) if drawn else nullcontext() as relay:
            self._stderr = None if relay is None else relay.write_fd
            where, path = self._options.target, self._options.report
            report = report_for(self._settings, path, "migration", where)
            async with report as self._report:
                domain, result = await self._migrate(override)
                self._report.ended(result)
        self._tell(domain, result)
        return GOOD

    async def _migrate(
        self, override: Configuration | None
    ) -> tuple[DomainInfo, MigrateResult]:
        options, settings = self._options, self._settings
        deadlines = options.precopy.deadlines(options.no_progress)
        async with Context(
            settings.backend, settings.host, deadlines, stall=STREAM
        ) as ctx:
            with told_if_long(self._out, HYPERVISOR):
                domain = await find_domain(ctx, options.domain)
                self._report.about(domain)
                config = override or await stored(ctx, domain.domid)
            if options.config is not None:
                config = await as_json(config, options.config)
            if options.preserve_domid:
                config = with_domid(config, domain.domid)
            words = rune(options, verbose=settings.verbose, paused=domain.paused)
            command = MigrationCommand(words, self._stderr, later=True)
            try:
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(command)
                    result = await self._send(ctx, domain, config, command, stack)
                    if self._own:  # it ends by itself, once its hooks have run
                        command.leave_within = deadlines.hooks + deadlines.announce
            except PeerFailed as exc:
                raise self._failure(domain, exc, command.end) from exc
            except JobError as exc:
                raise self._failure(domain, exc, "") from exc
            except LibxlpyError as exc:
                raise self._refusal(domain, exc) from exc
        return domain, result

    async def _send(
        self,
        ctx: Context,
        domain: DomainInfo,
        config: Configuration,
        command: MigrationCommand,
        stack: AsyncExitStack,
    ) -> MigrateResult:
        async def connect(landing: str) -> int:
            words = rune(self._options, verbose=self._settings.verbose, landing=landing)
            stream = await stack.enter_async_context(
                MigrationCommand(words, self._stderr)
            )
            self._own = True
            return stream.write_fd

        options = self._options
        flags = SuspendFlags.LIVE if options.live else SuspendFlags(0)
        if options.debug:
            flags |= SuspendFlags.DEBUG
        view = view_for(
            self._settings,
            what=f"migrate {domain.name}",
            json=self._options.json,
            pages=domain.memory_kib * 1024 // PAGE_SIZE,
        )
        with told_if_long(self._out, f"a receiver at {one_line(self._options.target)}"):
            job = await ctx.domain_migrate(
                domain.domid,
                command.read_fd,
                command.write_fd,
                flags,
                reach=command.start,
                # A command that is all the user's has no place for another one.
                connect=connect if self._options.command else None,
                config=config.text,
                # With a command that is all the user's, only they know.
                paused=options.paused or (domain.paused and bool(options.command)),
                reached_by=reached_by(options),
                hooks=self._hooks,
                policy=self._options.precopy.policy,
            )
        self._report.follow(job)
        if not self._options.json:
            job.listen(self._step)
        with view:
            result = await follow(job, view, self._interrupt)
        self._interrupt.settle()
        self._settings.changed = True
        return result

    def _step(self, event: JobEvent) -> None:
        if isinstance(event, PhaseEvent) and event.name in STEPS:
            self._out.note(STEPS[event.name])

    # ----- the end ----------------------------------------------------------------

    def _tell(self, domain: DomainInfo, result: MigrateResult) -> None:
        for fact in result.report.failed_repairs:
            self._out.note(f"xlpy: {one_line(fact)}; `xlpy recover` tries again")
        for remark in result.report.remarks:
            self._out.note(f"xlpy: {one_line(remark)}")
        if self._options.json:
            facts = result_facts(result)
            facts["statistics"] = result.statistics
            facts["remarks"] = result.report.remarks
            told = {"result": "migrated", "target": self._options.target}
            self._out.json({**told, **facts})
            return
        speed = speed_text(result.bytes_written, result.duration)
        self._out.note(
            f"migrated {title(domain)}: {speed}, downtime "
            f"{result.downtime_ns / 1e6:.0f} ms{self._settings.signals.too_late}"
        )
        if self._settings.verbose:
            parts = result.downtime_parts.items()
            each = ", ".join(f"{part.replace('_', ' ')} {ms:.0f}" for part, ms in parts)
            self._out.note(f"downtime by parts, ms: {each}")
        self._out.note("Migration successful.")

    def _refusal(self, domain: DomainInfo, exc: LibxlpyError) -> Exception:
        """Tell of what has never begun."""
        if self._options.json:
            about = {"domid": domain.domid, "name": domain.name}
            self._out.json({"result": "failed", "error": str(exc), **about})
        if isinstance(exc, HookFailed | MigrationRefused):
            text = f"migration of {title(domain)} refused: {exc}"
            return CommandFailed(f"{text}; guest was not touched")
        if not isinstance(exc, UsageError):  # those name it, and what can be done
            text = f"migration of {title(domain)} failed: {exc}"
            return CommandFailed(f"{text}; guest was not touched")
        return exc

    def _failure(self, domain: DomainInfo, exc: JobError, command: str) -> Exception:
        more = {
            "command": command,
            "failed_repairs": exc.details.failed_repairs,
            "remarks": exc.details.remarks,
        }
        json = self._options.json
        tell_failure(self._settings, exc, json=json, domain=domain, more=more)
        if isinstance(exc, PolicyAborted) and self._options.precopy.abort_if_busy:
            self._out.note(BUSY)
        parts = [
            f"migration of {title(domain)} {cause_text(exc, self._interrupt)}",
            *([f"the command to reach it: {command}"] if command else []),
            *exc.details.failed_repairs,
            *exc.details.remarks,
            _where(exc, domain, self._options),
        ]
        return self._interrupt.failure("; ".join(parts))


def _where(exc: JobError, domain: DomainInfo, options: MigrateOptions) -> str:
    """Say where the guest is, and what settles it if that is not known."""
    if isinstance(exc, MigrationOpen):
        asks = "`xlpy recover --ask HOST` asks the target"
        if options.command:
            asks = f"`xlpy recover` asks {one_line(options.target)}"
        seen = f"`xlpy migrate --resolve --runs here|there {shlex.quote(domain.name)}`"
        return f"it is left suspended here: {asks}, or look there and say {seen}"
    if exc.guest is GuestState.UNKNOWN and not exc.details.what:
        return "guest was not touched"
    return GUESTS[exc.guest]
