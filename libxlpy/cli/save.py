"""`xlpy save`, in order of execution.

Find the domain and its configuration, open the file, save, put the file in its place,
and only then destroy the domain or let it run on.
"""

import contextlib
import json as json_text
import os
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from libxlpy import (
    Context,
    Deadlines,
    DomainInfo,
    DomainNotFound,
    DomainReused,
    JobError,
    LibxlpyError,
    SaveResult,
    SuspendFlags,
)
from libxlpy.cli.saved import open_saved
from libxlpy.cli.terminal.follow import (
    GUESTS,
    cause_text,
    follow,
    print_report,
    view_for,
)
from libxlpy.cli.terminal.interrupt import Interrupt, run
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed, os_error_text
from libxlpy.cli.terminal.output import Output, one_line, size_text
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import STREAM, told_if_long
from libxlpy.save_file import ANSWER_WITHIN, SaveFile, SaveFileError, bounded
from libxlpy.streams.xl import pack_header
from libxlpy_protocol.json_text import JsonError, parse, parse_object
from libxlpy_protocol.stream.formats import XL_CONFIG_MAX
from libxlpy_protocol.xen import PAGE_SIZE

STDOUT, STDERR = 1, 2
#: What libxl's JSON consists of: no domain is made of one that lacks either.
PARTS = ("c_info", "b_info")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOptions:
    """Options of `xlpy save`, see `app.save`."""

    checkpoint: bool
    paused: bool
    preserve_domid: bool
    live: bool
    helper: str
    json: bool
    timeout: int | None
    no_progress: int | None
    domain: str
    file: Path
    config: Path | None


#: What a guest that somebody has resumed is: not paused, or paused.
RUNS = ("running", "paused")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is stored with the domain: ``text`` without NUL, JSON or xl's format."""

    text: bytes
    json: bool


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

    async def run(self, override: Configuration | None) -> int:
        """Do it all, with a configuration of the user's if there is one."""
        options = self._options
        deadlines = Deadlines(total=options.timeout, no_progress=options.no_progress)
        settings = self._settings
        disk = f"the disk of {one_line(str(options.file))}"
        async with Context(
            settings.backend, settings.host, deadlines, stall=STREAM
        ) as ctx:
            domain = await self._find(ctx)
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
        self._tell(domain, result)
        return GOOD

    # ---- steps, in order -------------------------------------------------------

    async def _find(self, ctx: Context) -> DomainInfo:
        domid = await ctx.resolve(self._options.domain)
        for domain in await ctx.list_domains():
            if domain.domid == domid:
                return domain
        raise CommandFailed(f"domain {domid} has just ended")

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
                    domain.domid, file.fd, flags, helper=self._options.helper
                )
                return await follow(job, view, self._interrupt)
        except JobError as exc:
            self._fail(domain, file, cause_text(exc, self._interrupt), exc)

    async def _commit(self, ctx: Context, domain: DomainInfo, file: SaveFile) -> None:
        try:
            await file.put_in_place()
        except SaveFileError as exc:
            failed = f"save of {_title(domain)} failed: "
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
            return await self._where(ctx, domain)
        return "running"

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
        what = "destroy"
        try:
            if self._options.paused:
                what = "pause"
                await ctx.domain_pause(domain.domid, uuid=domain.uuid)
            if self._options.paused or self._options.checkpoint:
                what = "resume"
                self._downtime = await ctx.domain_resume(domain.domid, uuid=domain.uuid)
            else:
                await self._destroy(ctx, domain)
        except LibxlpyError as exc:
            if self._options.paused and what == "resume":
                with contextlib.suppress(LibxlpyError):
                    await ctx.domain_unpause(domain.domid, uuid=domain.uuid)
            guest = await self._let_run(ctx, domain)
            raise CommandFailed(
                f"{_title(domain)} is saved in {self._options.file}, but to {what} it "
                f"failed: {exc}; guest is {guest}"
            ) from exc

    async def _destroy(self, ctx: Context, domain: DomainInfo) -> None:
        if await self._where(ctx, domain) in RUNS:
            saved = f"{_title(domain)} is saved in {self._options.file}"
            text = "but somebody has let it run again: it was not destroyed"
            raise CommandFailed(f"{saved}, {text}")
        try:
            await ctx.domain_destroy(domain.domid, uuid=domain.uuid)
        except DomainReused as gone:
            self._out.note(f"xlpy: {_title(domain)} had ended by itself: {gone}")

    def _tell(self, domain: DomainInfo, result: SaveResult) -> None:
        guest = "gone"
        if self._options.paused:
            guest = "paused"
        elif self._options.checkpoint:
            guest = "running"
        path = str(self._options.file)
        downtime = self._downtime or result.statistics.downtime or 0.0
        if self._options.json:
            facts = asdict(replace(result, downtime_ns=round(downtime * 1e6)))
            del facts["report"]
            facts["statistics"] = {**asdict(result.statistics), "downtime": downtime}
            ended = {"guest": guest, "image": result.image.value, "name": domain.name}
            self._out.json({"result": "saved", "file": path, **facts, **ended})
            return
        speed = result.bytes_written / max(result.duration, 1e-9)
        self._out.note(
            f"saved {_title(domain)} to {one_line(path)}: "
            f"{size_text(result.bytes_written)} in {result.duration:.2f} s "
            f"({size_text(speed)}/s), downtime {downtime:.0f} ms, "
            f"guest is {guest}{self._settings.signals.too_late}"
        )

    # ---- failure ---------------------------------------------------------------

    def _fail(
        self, domain: DomainInfo, file: SaveFile, cause: str, exc: JobError
    ) -> NoReturn:
        if self._settings.verbose:
            print_report(self._out, exc)
        guest = GUESTS[exc.guest]
        if self._options.json:
            facts = {"result": "failed", "error": str(exc), "guest": exc.guest.value}
            self._out.json({**facts, "domid": domain.domid, "name": domain.name})
        line = f"save of {_title(domain)} {cause}; {guest}; {self._not_written(file)}"
        raise self._interrupt.failure(line) from exc

    def _not_written(self, file: SaveFile) -> str:
        path = self._options.file
        if file.partial is None:
            return f"{path} holds no whole domain"
        return f"{path} not written"


def _title(domain: DomainInfo) -> str:
    return f"'{one_line(domain.name)}' (domid {domain.domid})"


# ---- configuration ---------------------------------------------------------------


async def stored(ctx: Context, domid: int) -> Configuration:
    """Give the configuration that the toolstack keeps of a domain."""
    return Configuration((await ctx.retrieve_config(domid)).rstrip(b"\0"), json=True)


def _is(one: DomainInfo, other: DomainInfo) -> bool:
    return (one.domid, one.uuid) == (other.domid, other.uuid)


def read_config(out: Output, path: Path) -> Configuration:
    """Read a configuration from a file: JSON if it is JSON, else xl's text.

    Raises:
        CommandFailed: It can't be read, or no reader would take it.
    """
    text = _read(out, path)
    if not text.strip():
        raise CommandFailed(f"configuration {path} is empty")
    if b"\0" in text:
        raise CommandFailed(f"configuration {path} holds a NUL: it is no text")
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        raise CommandFailed(f"configuration {path} is not UTF-8") from exc
    try:
        parsed = parse_object(text)
    except JsonError as exc:
        if _meant_as_json(text):
            raise CommandFailed(f"configuration {path} can't be used: {exc}") from exc
        return Configuration(text, json=False)
    _check_parts(path, parsed)
    return Configuration(text, json=True)


def _read(out: Output, path: Path) -> bytes:
    try:
        with os.fdopen(open_saved(out, path), "rb") as file:
            text = file.read(XL_CONFIG_MAX + 1)
    except OSError as exc:
        raise CommandFailed(f"can't read configuration {os_error_text(exc)}") from exc
    if len(text) > XL_CONFIG_MAX:
        raise CommandFailed(
            f"configuration {path} is larger than {XL_CONFIG_MAX} bytes: "
            "give a smaller one"
        )
    return text


def _check_parts(path: Path, parsed: dict[str, Any]) -> None:
    for part in PARTS:
        if not isinstance(parsed.get(part), dict):
            reason = f"it is JSON, but none of libxl's: it has no {part}"
            raise CommandFailed(f"configuration {path} can't be used: {reason}")


def with_domid(config: Configuration, domid: int) -> Configuration:
    """Store the domid in a configuration, as `xl save -D` does.

    Source: Xen, tools/xl/xl_saverestore.c, save_domain_core_begin().
    """
    try:
        parsed = parse_object(config.text)
    except JsonError as exc:
        text = f"-D needs a JSON configuration to store the domid in: {exc}"
        raise CommandFailed(text) from exc
    created = parsed.setdefault("c_info", {})
    if not isinstance(created, dict):
        raise CommandFailed("-D needs a JSON configuration to store the domid in")
    created["domid"] = domid
    return Configuration(json_text.dumps(parsed, indent=4).encode() + b"\n", json=True)


def _meant_as_json(text: bytes) -> bool:
    """Say whether a text can't be xl's format, whatever it is."""
    try:
        parse(text)
    except JsonError:
        return text.lstrip().startswith((b"{", b"["))
    return True
