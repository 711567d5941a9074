"""`xlpy restore`: a domain from a file."""

import asyncio
import os
import stat
from contextlib import suppress
from pathlib import Path

from libxlpy import (
    ConfigRefused,
    Context,
    GuestState,
    JobError,
    LibxlpyError,
    RestoreResult,
)
from libxlpy.cli.config import read_config
from libxlpy.cli.saved import named, open_saved
from libxlpy.cli.terminal.ended import result_facts, speed_text, tell_failure
from libxlpy.cli.terminal.follow import GUESTS, STREAM, cause_text, follow, view_for
from libxlpy.cli.terminal.interrupt import Interrupt, run
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.output import Output, one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import told_if_stuck
from libxlpy.cli.xl_conf import autoballoon
from libxlpy.streams import StreamRuleBroken, read_xl_header
from libxlpy.streams.reader import feed_from, parser_for
from libxlpy.streams.xl import config_name
from libxlpy_protocol.value import Value


class RestoreOptions(Value, kw_only=True):
    """Options of `xlpy restore`, see `options.moves`."""

    paused: bool
    alone: bool
    name: str | None
    json: bool
    file: Path
    config: Path | None


def restore_domain(settings: Settings, options: RestoreOptions) -> int:
    """Restore a domain from a file; give the exit status."""
    fd = open_saved(settings.out, options.file)
    try:
        config, name, length = _header(settings.out, fd, options)
        balloons = autoballoon(settings.out)
        result = run(
            settings.signals,
            lambda interrupt: Restore(settings, options, interrupt, balloons).run(
                fd, config, name or ""
            ),
        )
        size = _position(fd) or length + result.bytes_read
        _tell(settings, options, result, size)
        _tell_leftover(settings, options, fd)
    finally:
        os.close(fd)
    return GOOD


class Restore:
    """One `xlpy restore`."""

    def __init__(
        self,
        settings: Settings,
        options: RestoreOptions,
        interrupt: Interrupt,
        balloons: str,
    ) -> None:
        self._settings = settings
        self._balloons = balloons
        self._options = options
        self._interrupt = interrupt

    async def run(self, fd: int, config: bytes, name: str) -> RestoreResult:
        """Have all that comes behind the header restored.

        Args:
            fd: Of the file.
            config: To be used.
            name: The domain will have; "" if it is not known.
        """
        settings = self._settings
        where = (settings.backend, settings.host)
        async with Context(*where, stall=STREAM, autoballoon=self._balloons) as ctx:
            title = name or self._options.file.name
            what, json = f"restore {title}", self._options.json
            view = view_for(self._settings, what=what, json=json, pages=0)
            try:
                with view:
                    job = await ctx.domain_restore(
                        fd,
                        config=config,
                        name=self._options.name,
                        paused=self._options.paused,
                        monitor=not self._options.alone,
                    )
                    result = await follow(job, view, self._interrupt)
            except ConfigRefused as exc:
                raise self._refused(exc) from exc
            except JobError as exc:
                raise await self._failure(exc, fd) from exc
            except LibxlpyError as exc:
                raise await self._in_the_way(ctx, exc, name) from exc
            self._interrupt.settle()
            return result

    def _refused(self, exc: ConfigRefused) -> CommandFailed:
        """Give the way out if a file has a configuration that can't be used."""
        file, config = self._options.file, self._options.config
        if config is not None:
            return CommandFailed(f"{config}: {exc}")
        return CommandFailed(
            f"{file}: {exc}; give another one: xlpy restore CONFIG {file}"
        )

    async def _in_the_way(
        self, ctx: Context, exc: LibxlpyError, name: str
    ) -> Exception:
        """Give the way out if another domain has the name."""
        with suppress(LibxlpyError):
            for info in await ctx.list_domains():
                if info.name == name:
                    text = f"name '{name}' is taken by domain {info.domid}"
                    given = self._options.name is not None
                    remedy = (
                        "give another one by --name NAME, or destroy that domain"
                        if given
                        else "call it otherwise by --name NAME, or destroy that one"
                    )
                    return CommandFailed(f"{text}: {remedy}")
        return exc

    async def _failure(self, exc: JobError, fd: int) -> Exception:
        tell_failure(self._settings, exc, json=self._options.json)
        defect = await self._defect(fd)
        cause = f"failed: {defect}" if defect else cause_text(exc, self._interrupt)
        left = list(exc.details.failed_repairs)
        if exc.guest not in (GuestState.GONE, GuestState.UNKNOWN):
            left.append(f"{GUESTS[exc.guest]}, domid {exc.details.domid}")
        line = "; ".join(
            [
                f"restore from {self._options.file} {cause}",
                *exc.details.remarks,
                *(left or ["no domain is left of it"]),
            ]
        )
        return self._interrupt.failure(line)

    async def _defect(self, fd: int) -> str | None:
        """Give what is wrong with a file or device, better told than by its reader."""
        if self._interrupt.signum is not None or _position(fd) is None:
            return None
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            await _check(fd)
        except (StreamRuleBroken, OSError) as exc:
            return str(exc)
        except asyncio.CancelledError:
            if self._interrupt.signum is None:
                raise
        return None


def _header(
    out: Output, fd: int, options: RestoreOptions
) -> tuple[bytes, str | None, int]:
    """Read configuration, its name, and its end; before the event loop: it may wait."""
    path = options.file
    try:
        with named(path), told_if_stuck(out, f"more of {path}"):
            header = read_xl_header(fd)
        name = config_name(header) if options.name is None else options.name
    except StreamRuleBroken as exc:
        raise CommandFailed(f"{path}: {exc}") from exc
    if options.config is not None:
        return read_config(out, options.config).text, options.name, header.length
    if header.config is None:
        raise CommandFailed(f"{path} holds no configuration: give one, CONFIG")
    return header.config, name, header.length


async def _check(fd: int) -> None:
    """Check a file as `xlpy verify` does; others get their turn."""
    for _ in feed_from(fd, parser_for(fd)):
        await asyncio.sleep(0)


def _tell(
    settings: Settings, options: RestoreOptions, result: RestoreResult, size: int
) -> None:
    settings.changed = True
    for remark in result.report.remarks:
        settings.out.note(f"xlpy: {one_line(remark)}")
    if options.json:
        told = {"bytes_read": size, "file": str(options.file)}
        settings.out.json({"result": "restored", **result_facts(result), **told})
        return
    settings.out.note(
        f"restored '{one_line(result.name)}' (domid {result.domid}) from "
        f"{one_line(str(options.file))}: {speed_text(size, result.duration)}, "
        f"guest is {result.guest.value}{settings.signals.too_late}"
    )


def _tell_leftover(settings: Settings, options: RestoreOptions, fd: int) -> None:
    """Say if a file goes on behind its end; it should not, but all was restored."""
    position = _position(fd)
    if position is None:
        return
    left = os.fstat(fd).st_size - position
    if left > 0:
        path = one_line(str(options.file))
        settings.out.note(f"xlpy: {path}: {left:,} bytes behind END were not read")


def _position(fd: int) -> int | None:
    """Give how far a file or device was read, by us and the helper; else None."""
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        return None
    return os.lseek(fd, 0, os.SEEK_CUR)
