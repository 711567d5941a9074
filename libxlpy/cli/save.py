"""`xlpy save`, in order of execution.

Find the domain and its configuration, open the file, save, put the file in its place,
and only then destroy the domain or let it run on.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import NoReturn

from libxlpy import (
    Context,
    DomainInfo,
    DomainNotFound,
    DomainReused,
    JobError,
    LibxlpyError,
    SaveResult,
    SuspendFlags,
)
from libxlpy.cli.config import Configuration, read_config, stored, with_domid
from libxlpy.cli.domains import find_domain, title
from libxlpy.cli.precopy import PrecopyOptions
from libxlpy.cli.report.report import Report
from libxlpy.cli.report.wanted import report_for
from libxlpy.cli.terminal.ended import result_facts, speed_text, tell_failure
from libxlpy.cli.terminal.follow import GUESTS, STREAM, cause_text, follow, view_for
from libxlpy.cli.terminal.interrupt import Interrupt, run
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import HYPERVISOR, told_if_long
from libxlpy.save_file import ANSWER_WITHIN, SaveFile, SaveFileError, bounded
from libxlpy.streams.xl import pack_header
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE

STDOUT, STDERR = 1, 2


class SaveOptions(Value, kw_only=True):
    """Options of `xlpy save`, see `options.moves`."""

    checkpoint: bool
    paused: bool
    preserve_domid: bool
    live: bool
    helper: str
    json: bool
    precopy: PrecopyOptions
    no_progress: int | None
    report: Path | None
    domain: str
    file: Path
    config: Path | None


#: What a guest that somebody has resumed is: not paused, or paused.
RUNS = ("running", "paused")


def save_domain(settings: Settings, options: SaveOptions) -> int:
    """Save a domain to a file; give the exit status."""
    override = read_config(settings.out, options.config) if options.config else None
    return run(
        settings.signals,
        lambda interrupt: Save(settings, options, interrupt).run(override),
    )


class Save:
    """One `xlpy save`."""

    def __init__(
        self, settings: Settings, options: SaveOptions, interrupt: Interrupt
    ) -> None:
        self._settings = settings
        self._out = settings.out
        self._options = options
        self._interrupt = interrupt
        self._downtime: float | None = None
        #: Where the guest is, once all went well.
        self._guest = "gone"
        self._report: Report

    async def run(self, override: Configuration | None) -> int:
        """Do it all, with a configuration of the user's if there is one."""
        options = self._options
        report = report_for(self._settings, options.report, "save", str(options.file))
        async with report as self._report:
            domain, result = await self._save(override)
            downtime = self._downtime
            self._report.ended(result, downtime=downtime, guest=self._guest)
        self._tell(domain, result)
        return GOOD

    async def _save(
        self, override: Configuration | None
    ) -> tuple[DomainInfo, SaveResult]:
        options = self._options
        deadlines = options.precopy.deadlines(options.no_progress)
        settings = self._settings
        disk = f"the disk of {one_line(str(options.file))}"
        async with Context(
            settings.backend, settings.host, deadlines, stall=STREAM
        ) as ctx:
            with told_if_long(self._out, HYPERVISOR):
                domain = await find_domain(ctx, self._options.domain)
                self._report.about(domain)
                config = override or await stored(ctx, domain.domid)
            if options.preserve_domid:
                config = with_domid(config, domain.domid)
            head = pack_header(config.text, json=config.json)
            with told_if_long(self._out, disk):
                await bounded(options.file, self._check_apart, ANSWER_WITHIN)
                opened = await SaveFile.when_free(options.file, head)
            async with opened as file:
                result = await self._stream(ctx, domain, file)
                self._interrupt.settle()
                with told_if_long(self._out, disk):
                    await self._commit(ctx, domain, file)
                with told_if_long(self._out, f"what comes next for {domain.name!r}"):
                    await self._finish(ctx, domain)
        return domain, result

    # ---- steps, in order -------------------------------------------------------

    def _check_apart(self) -> None:
        """Refuse a file that what we print goes to, too: it would be in the stream."""
        for number, used in ((STDOUT, self._options.json), (STDERR, True)):
            try:
                printed, file = os.fstat(number), self._options.file.stat()
            except OSError:
                continue  # closed, or no such file yet
            device = stat.S_ISCHR(file.st_mode)  # /dev/null and such
            if used and os.path.samestat(printed, file) and not device:
                name = "stdout" if number == STDOUT else "stderr"
                text = f"can't write {self._options.file}: {name} goes there, too"
                raise CommandFailed(f"{text}; send that elsewhere")

    async def _stream(
        self, ctx: Context, domain: DomainInfo, file: SaveFile
    ) -> SaveResult:
        flags = SuspendFlags.LIVE if self._options.live else SuspendFlags(0)
        view = view_for(
            self._settings,
            what=f"save {domain.name}",
            json=self._options.json,
            pages=domain.memory_kib * 1024 // PAGE_SIZE,
        )
        try:
            with view:
                job = await ctx.domain_suspend(
                    domain.domid,
                    file.fd,
                    flags,
                    helper=self._options.helper,
                    policy=self._options.precopy.policy,
                )
                self._report.follow(job)
                return await follow(job, view, self._interrupt)
        except JobError as exc:
            self._fail(domain, file, cause_text(exc, self._interrupt), exc)

    async def _commit(self, ctx: Context, domain: DomainInfo, file: SaveFile) -> None:
        try:
            await file.put_in_place()
        except SaveFileError as exc:
            failed = f"save of {title(domain)} failed: "
            failed += str(exc) if exc.in_place else exc.reason
            guest = await self._let_run(ctx, domain)
            left = "" if exc.in_place else f"; {self._not_written(file)}"
            raise CommandFailed(f"{failed}; guest is {guest}{left}") from exc

    async def _let_run(self, ctx: Context, domain: DomainInfo) -> str:
        """Have the guest go on; give where it is."""
        try:
            await ctx.domain_resume(domain.domid, uuid=domain.uuid)
        except DomainNotFound as gone:
            return f"gone: {gone}"
        except LibxlpyError:
            pass
        return await self._where(ctx, domain)

    async def _where(self, ctx: Context, domain: DomainInfo) -> str:
        """Ask where the guest is."""
        try:
            found = [each for each in await ctx.list_domains() if _is(each, domain)]
        except LibxlpyError:
            return "where it was, nobody can be asked: see `xlpy list` and `recover`"
        if not found:
            return "gone"
        if found[0].shutdown_reason == "suspend":
            return "suspended: `xlpy recover` lets it run"
        if found[0].shutdown:
            return f"shut down ({found[0].shutdown_reason})"
        return RUNS[found[0].paused]

    async def _finish(self, ctx: Context, domain: DomainInfo) -> None:
        self._settings.changed = True
        what, pauses = "destroy", False
        try:
            if self._options.paused and not await self._is_paused(ctx, domain):
                what, pauses = "pause", True
                await ctx.domain_pause(domain.domid, uuid=domain.uuid)
            if self._options.paused or self._options.checkpoint:
                what = "resume"
                self._downtime = await ctx.domain_resume(domain.domid, uuid=domain.uuid)
                self._guest = await self._where(ctx, domain)
            else:
                await self._destroy(ctx, domain)
        except LibxlpyError as exc:
            if pauses and what == "resume":
                with contextlib.suppress(LibxlpyError):
                    await ctx.domain_unpause(domain.domid, uuid=domain.uuid)
            guest = await self._let_run(ctx, domain)
            raise CommandFailed(
                f"{title(domain)} is saved in {self._options.file}, but to {what} it "
                f"failed: {exc}; guest is {guest}"
            ) from exc

    async def _is_paused(self, ctx: Context, domain: DomainInfo) -> bool:
        """Ask whether it is paused, suspended or not."""
        found = await ctx.list_domains()
        return any(each.paused for each in found if _is(each, domain))

    async def _destroy(self, ctx: Context, domain: DomainInfo) -> None:
        if await self._where(ctx, domain) in RUNS:
            saved = f"{title(domain)} is saved in {self._options.file}"
            text = "but somebody has let it run again: it was not destroyed"
            raise CommandFailed(f"{saved}, {text}")
        try:
            await ctx.domain_destroy(domain.domid, uuid=domain.uuid)
        except DomainReused as gone:
            self._out.note(f"xlpy: {title(domain)} had ended by itself: {gone}")

    def _tell(self, domain: DomainInfo, result: SaveResult) -> None:
        guest = self._guest
        path = str(self._options.file)
        downtime = self._downtime or result.statistics.downtime or 0.0
        if self._options.json:
            facts = result_facts(result.replace(downtime_ns=round(downtime * 1e6)))
            facts["statistics"] = {**vars(result.statistics), "downtime": downtime}
            ended = {"guest": guest, "image": result.image.value, "name": domain.name}
            self._out.json({"result": "saved", "file": path, **facts, **ended})
            return
        self._out.note(
            f"saved {title(domain)} to {one_line(path)}: "
            f"{speed_text(result.bytes_written, result.duration)}, "
            f"downtime {downtime:.0f} ms, "
            f"guest is {guest}{self._settings.signals.too_late}"
        )

    # ---- failure ---------------------------------------------------------------

    def _fail(
        self, domain: DomainInfo, file: SaveFile, cause: str, exc: JobError
    ) -> NoReturn:
        tell_failure(self._settings, exc, json=self._options.json, domain=domain)
        line = f"save of {title(domain)} {cause}; {GUESTS[exc.guest]}"
        raise self._interrupt.failure(f"{line}; {self._not_written(file)}") from exc

    def _not_written(self, file: SaveFile) -> str:
        path = self._options.file
        if file.partial is None:
            return f"{path} holds no whole domain"
        return f"{path} not written"


def _is(one: DomainInfo, other: DomainInfo) -> bool:
    return (one.domid, one.uuid) == (other.domid, other.uuid)
