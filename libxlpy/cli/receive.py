"""`xlpy migrate-receive`: the other end of `xlpy migrate` and `xl migrate`.

What is said to the sender goes to stdout, and nothing else does: all else is on stderr.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from libxlpy import (
    Context,
    DryRun,
    GuestState,
    HookFailed,
    JobError,
    JobEvent,
    Landing,
    LibxlpyError,
    MigrationOpen,
    PhaseEvent,
    RestoreResult,
)
from libxlpy.cli.migrate import hooks_of
from libxlpy.cli.stream import sender
from libxlpy.cli.terminal.follow import GUESTS, STREAM, cause_text, print_report
from libxlpy.cli.terminal.interrupt import Interrupt, run
from libxlpy.cli.terminal.outcome import FAILED, GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.xl_conf import autoballoon
from libxlpy_protocol.value import Value

if TYPE_CHECKING:
    from libxlpy import Fence

#: Where the guest is if no domain was made, or is left of it.
NOTHING_LEFT = (GuestState.GONE, GuestState.UNKNOWN)
#: The executable that administrators put there.
FENCE = Path("/etc/libxlpy/fence")
#: Phase that begins -> what `xl` says then, or would.
STEPS = {
    "received": (
        "migration target: Transfer complete, requesting permission to start domain."
    ),
    "unpause": "migration target: Got permission, starting domain.",
    "first epoch": "migration target: Its first checkpoint is here.",
    "fence": "migration target: Its primary is not heard any more: asking the fence.",
    "take over": "migration target: Remus Failover: starting domain.",
}


class ReceiveOptions(Value, kw_only=True):
    """Options of `xlpy migrate-receive`, see `options.moves`."""

    paused: bool
    alone: bool
    debug: bool
    #: Speak our own handshake.
    control: bool
    hooks: Path | None
    #: It is the backup of a domain that is protected.
    remus: bool
    #: Asks whether the primary is gone; None for the one that administrators put there.
    fence: Path | None
    unsafe_no_fence: bool


def receive_domain(settings: Settings, options: ReceiveOptions) -> int:
    """Receive a domain; give the exit status."""
    read_fd, write_fd = sender()
    balloons = autoballoon(settings.out)
    return run(
        settings.signals,
        lambda interrupt: Receive(settings, options, interrupt, balloons).run(
            read_fd, write_fd
        ),
    )


def _address() -> str:
    """Give the address that ssh says the sender has; "" if we are not run by it."""
    return os.environ.get("SSH_CONNECTION", "").partition(" ")[0]


class Receive:
    """One `xlpy migrate-receive`."""

    def __init__(
        self,
        settings: Settings,
        options: ReceiveOptions,
        interrupt: Interrupt,
        balloons: str,
    ) -> None:
        self._settings = settings
        self._balloons = balloons
        self._out = settings.out
        self._options = options
        self._interrupt = interrupt

    async def run(self, read_fd: int, write_fd: int) -> int:
        """Receive one domain."""
        settings = self._settings
        where = (settings.backend, settings.host)
        try:
            async with (
                Context(*where, stall=STREAM, autoballoon=self._balloons) as ctx,
                Landing() as landing,
            ):
                fence = await self._fence() if self._options.remus else None
                self._out.note("migration target: Ready to receive domain.")
                stream = landing if self._options.control else None
                result = await self._receive(ctx, read_fd, write_fd, stream, fence)
        except DryRun as exc:
            self._out.note(f"migration target: dry run: {exc}.")
            return GOOD
        except LibxlpyError as exc:
            if self._is_told(exc):
                return FAILED
            if isinstance(exc, HookFailed):
                text = f"migration to here refused: {exc}"
                raise CommandFailed(f"{text}; no domain was made") from exc
            if isinstance(exc, JobError):
                raise self._failure(exc) from exc
            raise
        settings.changed = True
        for fact in (*result.report.failed_repairs, *result.report.remarks):
            self._out.note(f"xlpy: {one_line(fact)}")
        # sic: that is how xl spells it
        self._out.note("migration target: Domain started successsfully.")
        return GOOD

    async def _fence(self) -> "Fence":
        """Give what is asked once the primary is not heard any more.

        Raises:
            CommandFailed: There is none, or it may not be run.
        """
        from libxlpy import FenceExecutable, NoFence  # for a backup only

        if self._options.unsafe_no_fence:
            return NoFence()
        fence = FenceExecutable(self._options.fence or FENCE, _address())
        try:
            await fence.check()
        except HookFailed as exc:
            text = f"no fence that could say that the primary is gone: {exc}"
            raise CommandFailed(f"{text}; or use --unsafe-no-fence") from exc
        return fence

    async def _receive(
        self,
        ctx: Context,
        read_fd: int,
        write_fd: int,
        stream: Landing | None,
        fence: "Fence | None",
    ) -> RestoreResult:
        job = await ctx.domain_receive(
            read_fd,
            write_fd,
            stream=stream,
            paused=self._options.paused,
            monitor=not self._options.alone,
            hooks=hooks_of(self._options.hooks, _address()),
            fence=fence,
        )
        job.listen(self._step)
        with self._interrupt.cancels(job):
            result = await job
        self._interrupt.settle()
        if self._options.debug:
            config = (await ctx.retrieve_config(result.domid)).rstrip(b"\0")
            self._out.note(config.decode("utf-8", "replace"))
        return result

    def _step(self, event: JobEvent) -> None:
        if isinstance(event, PhaseEvent) and event.name in STEPS:
            self._out.note(STEPS[event.name])

    def _is_told(self, exc: LibxlpyError) -> bool:
        """Tell whether the sender says it all: its terminal, by ssh, is ours, too."""
        if self._settings.verbose or self._interrupt.signum is not None:
            return False
        if not isinstance(exc, JobError):
            return exc.was_told
        more = (*exc.details.failed_repairs, *exc.details.remarks)
        return exc.was_told and exc.guest in NOTHING_LEFT and not more

    def _failure(self, exc: JobError) -> Exception:
        if self._settings.verbose:
            print_report(self._out, exc)
        what = exc.details.what or "migration to here"
        parts = [
            f"{what} {cause_text(exc, self._interrupt)}",
            *exc.details.failed_repairs,
            *exc.details.remarks,
            _left(exc),
        ]
        return self._interrupt.failure("; ".join(parts))


def _left(exc: JobError) -> str:
    """Say what is left of the domain, and what settles that."""
    domid = exc.details.domid
    if isinstance(exc, MigrationOpen):
        asks = f"`xlpy recover --ask {_address() or 'HOST'}` asks where it came from"
        seen = f"`xlpy migrate --resolve --runs here|there {domid}`"
        left = f"its copy, domid {domid}, is left paused"
        return f"{left}: {asks}, or look there and say {seen}"
    if exc.guest in NOTHING_LEFT:
        return "no domain is left of it"
    return f"{GUESTS[exc.guest]}, domid {domid}"
