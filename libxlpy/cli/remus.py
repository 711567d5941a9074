"""`xlpy remus`, in order of execution.

Find the domain and its configuration, start what leads to the backup's host, protect
the domain until a signal comes, or something fails; it then runs on here.
"""

import shlex
from contextlib import AsyncExitStack
from pathlib import Path

from libxlpy import (
    BackupHost,
    Context,
    Deadlines,
    DomainInfo,
    GuestState,
    HookFailed,
    JobError,
    JobEvent,
    LibxlpyError,
    MigrationCommand,
    MigrationHooks,
    MigrationOpen,
    MigrationRefused,
    PeerFailed,
    PhaseEvent,
    Protection,
    ProtectionState,
    RemusFigures,
    RemusInfo,
    RemusResult,
    StopAnswer,
    UsageError,
)
from libxlpy.cli.config import stored
from libxlpy.cli.domains import find_domain, title
from libxlpy.cli.migrate import hooks_of
from libxlpy.cli.terminal.ended import result_facts, tell_failure
from libxlpy.cli.terminal.follow import GUESTS, cause_text, follow
from libxlpy.cli.terminal.interrupt import Interrupt, ask, run
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.progress import JsonView, PlainView, View
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import HYPERVISOR, told_if_long
from libxlpy_protocol.value import Value


class RemusOptions(Value, kw_only=True):
    """Options of `xlpy remus`, see `options.protects`."""

    interval: int
    no_network: bool
    no_disks: bool
    unsafe: bool
    alone: bool
    command: str
    unsafe_no_fence: bool
    hooks: Path | None
    json: bool
    domain: str
    target: str

    @property
    def info(self) -> RemusInfo:
        """What is wanted."""
        return RemusInfo(
            self.interval,
            allow_unsafe=self.unsafe,
            netbuf=not self.no_network,
            diskbuf=not self.no_disks,
        )


def protect_domain(settings: Settings, options: RemusOptions) -> int:
    """Protect a domain until it ends; give the exit status."""
    hooks = hooks_of(options.hooks, options.target)
    return run(
        settings.signals,
        lambda interrupt: Remus(settings, options, interrupt, hooks).run(),
    )


def rune(options: RemusOptions, *, verbose: bool, landing: str | None = None) -> str:
    """Give the shell's command that leads to a backup, or to where its stream goes."""
    there = f"exec xlpy{' -v' if verbose else ''} migrate-receive"
    if landing is not None:
        there += f" --stream {shlex.quote(landing)}"
    else:
        there += " -r --control"
        there += " -e" if options.alone else ""
        there += " --unsafe-no-fence" if options.unsafe_no_fence else ""
    return f"exec {options.command} {options.target} {shlex.quote(there)}"


class Ended:
    """What a signal does to a protection: it is stopped, or was not there yet."""

    def __init__(self, protection: Protection) -> None:
        """Take it."""
        self._protection = protection

    async def cancel(self) -> None:
        """End it, and wait; see :class:`.Cancellable`."""
        protection = self._protection
        if protection.state is ProtectionState.STARTING:
            await protection.job.cancel()
        else:
            protection.stop()
            await protection.job.ended()


class Remus:
    """One `xlpy remus`."""

    def __init__(
        self,
        settings: Settings,
        options: RemusOptions,
        interrupt: Interrupt,
        hooks: MigrationHooks | None,
    ) -> None:
        self._settings = settings
        self._out = settings.out
        self._options = options
        self._interrupt = interrupt
        self._hooks = hooks

    async def run(self) -> int:
        """Do it all."""
        options, settings, deadlines = self._options, self._settings, Deadlines()
        async with Context(settings.backend, settings.host, deadlines) as ctx:
            with told_if_long(self._out, HYPERVISOR):
                domain = await find_domain(ctx, options.domain)
                config = await stored(ctx, domain.domid)
            words = rune(options, verbose=settings.verbose)
            command = MigrationCommand(words, later=True)
            try:
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(command)
                    host = self._host(command, config.text, stack)
                    protection = await ctx.domain_remus_start(
                        domain.domid,
                        options.info,
                        command.write_fd,
                        command.read_fd,
                        host,
                    )
                    result = await self._follow(domain, protection)
                    # It ends by itself, once its hooks have run.
                    command.leave_within = deadlines.hooks + deadlines.announce
            except PeerFailed as exc:
                raise self._failure(domain, exc, command.end) from exc
            except JobError as exc:
                raise self._failure(domain, exc, "") from exc
            except LibxlpyError as exc:
                raise self._refusal(domain, exc) from exc
        self._tell(domain, result, protection.figures)
        return GOOD

    def _host(
        self, command: MigrationCommand, config: bytes, stack: AsyncExitStack
    ) -> BackupHost:
        options = self._options

        async def connect(landing: str) -> int:
            words = rune(options, verbose=self._settings.verbose, landing=landing)
            stream = await stack.enter_async_context(MigrationCommand(words))
            return stream.write_fd

        return BackupHost(
            connect=connect,
            reach=command.start,
            config=config,
            reached_by=f"{options.command} {options.target}",
            hooks=self._hooks,
        )

    async def _follow(self, domain: DomainInfo, protection: Protection) -> RemusResult:
        target = one_line(self._options.target)

        def heard(event: JobEvent) -> None:
            if isinstance(event, PhaseEvent) and event.name == "protected":
                self._out.note(f"{title(domain)} is protected: {target} has its copy")

        self._out.note(f"copying {title(domain)} to {target}")
        protection.job.listen(heard)
        view = View()
        if self._options.json:
            view = JsonView(self._out)
        elif self._settings.verbose:
            view = PlainView(self._out, verbose=True)
        with view:
            ends = Ended(protection)
            result = await follow(protection.job, view, self._interrupt, ends)
        self._interrupt.settle()
        self._settings.changed = True
        return result

    # ----- the end ----------------------------------------------------------------

    def _tell(
        self, domain: DomainInfo, result: RemusResult, figures: RemusFigures
    ) -> None:
        for fact in (*result.report.failed_repairs, *result.report.remarks):
            self._out.note(f"xlpy: {one_line(fact)}")
        if self._options.json:
            told = {"result": "switched over" if result.switched_over else "stopped"}
            told["target"] = self._options.target
            self._out.json({**told, **result_facts(result), **figures_facts(figures)})
            return
        where = (
            f"runs at {one_line(self._options.target)}"
            if result.switched_over
            else "runs on here, unprotected"
        )
        self._out.note(f"{title(domain)} {where}: {figures_text(figures)}")

    def _refusal(self, domain: DomainInfo, exc: LibxlpyError) -> Exception:
        """Tell of what has never begun."""
        if self._options.json:
            about = {"domid": domain.domid, "name": domain.name}
            self._out.json({"result": "failed", "error": str(exc), **about})
        if isinstance(exc, UsageError):  # those name it, and what can be done
            return exc
        refused = isinstance(exc, HookFailed | MigrationRefused)
        text = f"protection of {title(domain)} {'refused' if refused else 'failed'}"
        return CommandFailed(f"{text}: {exc}; guest was not touched")

    def _failure(self, domain: DomainInfo, exc: JobError, command: str) -> Exception:
        more = {"command": command, "remarks": exc.details.remarks}
        tell_failure(
            self._settings, exc, json=self._options.json, domain=domain, more=more
        )
        parts = [
            f"protection of {title(domain)} {cause_text(exc, self._interrupt)}",
            *([f"the command to reach it: {command}"] if command else []),
            *exc.details.failed_repairs,
            *exc.details.remarks,
            _where(exc, domain),
        ]
        return self._interrupt.failure("; ".join(parts))


def _where(exc: JobError, domain: DomainInfo) -> str:
    """Say where the guest is."""
    if isinstance(exc, MigrationOpen):
        seen = f"`xlpy migrate --resolve --runs here|there {shlex.quote(domain.name)}`"
        return (
            "it is left suspended here: `xlpy recover` asks the backup's host, or look "
            f"there and say {seen}"
        )
    if exc.guest is GuestState.UNKNOWN and not exc.details.what:
        return "guest was not touched"
    return f"{GUESTS[exc.guest]}, unprotected"


def figures_facts(figures: RemusFigures) -> dict[str, object]:
    """Give them for JSON; milliseconds, but for the lag."""
    return {
        "epoch": figures.epoch,
        "lag": figures.lag,
        "pause_ms": vars(figures.pause),
        "commit_ms": vars(figures.commit),
    }


def figures_text(figures: RemusFigures) -> str:
    """Give them in a line."""
    pause, commit = figures.pause, figures.commit
    if pause.median is None or commit.median is None:
        return f"{figures.epoch} epochs"
    return (
        f"{figures.epoch} epochs, paused {pause.median:.0f} ms "
        f"(p99 {pause.p99:.0f}), what it sent held {commit.median:.0f} ms "
        f"(p99 {commit.p99:.0f})"
    )


# ----- by another process ---------------------------------------------------------

#: What became of a request to switch over -> what that means.
ANSWERS = {
    StopAnswer.STOPPING: "goes to its backup",
    StopAnswer.TOO_LATE: "too late: its protection has ended",
    StopAnswer.NO_ANSWER: "its process does not answer: `xlpy abort` stops it",
}


def switch_over(settings: Settings, domain: str, *, json: bool) -> int:
    """Have a domain go to its backup; fails if nobody takes the order.

    Raises:
        CommandFailed: Its process does not answer, or has ended it before.
    """

    async def order(ctx: Context) -> StopAnswer:
        info = await find_domain(ctx, domain)
        for job in await ctx.list_jobs():
            if job.domid == info.domid and job.kind == "remus":
                return await ctx.stop_and_copy_job(job.job)
        raise UsageError(f"nobody protects {title(info)}")

    answer = ask(settings, order, f"{one_line(domain)} to go to its backup")
    text = f"{one_line(domain)}: {ANSWERS[answer]}"
    if answer is not StopAnswer.STOPPING:
        raise CommandFailed(text)
    if json:
        settings.out.json({"domain": domain, "answer": answer.value})
    settings.out.note(text)
    return GOOD
