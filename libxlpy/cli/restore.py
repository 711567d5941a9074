"""`xlpy restore`: a domain from a file."""

import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from libxlpy import Context, JobError, RestoreResult
from libxlpy.cli.follow import cause_text, follow, print_report
from libxlpy.cli.interrupt import Interrupt, run
from libxlpy.cli.outcome import GOOD, CommandFailed, Interrupted
from libxlpy.cli.output import one_line, size_text
from libxlpy.cli.progress import view_for
from libxlpy.cli.settings import Settings
from libxlpy.cli.verify import config_name
from libxlpy.streams import StreamRuleBroken, read_xl_header
from libxlpy.streams import verify as check


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """Options of `xlpy restore`, see `app.restore`."""

    paused: bool
    name: str | None
    json: bool
    file: Path


def restore_domain(settings: Settings, options: RestoreOptions) -> int:
    """Restore a domain from a file; give the exit status."""
    fd = os.open(options.file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        result = run(lambda interrupt: Restore(settings, options, interrupt).run(fd))
        _tell(settings, options, result, fd)
        _tell_leftover(settings, options, fd)
    finally:
        os.close(fd)
    return GOOD


class Restore:
    """One `xlpy restore`."""

    def __init__(
        self, settings: Settings, options: RestoreOptions, interrupt: Interrupt
    ) -> None:
        self._settings = settings
        self._options = options
        self._interrupt = interrupt

    async def run(self, fd: int) -> RestoreResult:
        """Read the header, then have the rest restored."""
        async with Context(self._settings.backend, self._settings.host) as ctx:
            config, name = self._header(fd)
            view = view_for(
                self._settings.out,
                what=f"restore {name or self._options.file.name}",
                json=self._options.json,
                verbose=self._settings.verbose,
                pages=0,
            )
            try:
                with view:
                    job = await ctx.domain_restore(
                        fd,
                        config=config,
                        name=self._options.name,
                        paused=self._options.paused,
                    )
                    return await follow(job, view, self._interrupt)
            except JobError as exc:
                raise self._failure(exc, fd) from exc

    def _header(self, fd: int) -> tuple[bytes, str | None]:
        path = self._options.file
        try:
            header = read_xl_header(fd)
            name = config_name(header)
        except StreamRuleBroken as exc:
            raise CommandFailed(f"{path}: {exc}") from exc
        if header.config is None:
            raise CommandFailed(f"{path} holds no configuration: nothing to build from")
        return header.config, name

    def _failure(self, exc: JobError, fd: int) -> Exception:
        if self._settings.verbose:
            print_report(self._settings.out, exc)
        if self._options.json:
            self._settings.out.json({"result": "failed", "error": str(exc)})
        signum = self._interrupt.signum
        defect = None if signum is not None else _defect(fd)
        cause = f"failed: {defect}" if defect else cause_text(exc, self._interrupt)
        left = [repair for repair in exc.repairs if "FAILED" in repair]
        line = "; ".join(
            [
                f"restore from {self._options.file} {cause}",
                *(left or ["no domain is left of it"]),
            ]
        )
        return CommandFailed(line) if signum is None else Interrupted(signum, line)


def _defect(fd: int) -> str | None:
    """Give what is wrong with a regular file, better told than by its first reader."""
    if _position(fd) is None:
        return None
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        check(fd)
    except (StreamRuleBroken, OSError) as exc:
        return str(exc)
    return None


def _tell(
    settings: Settings, options: RestoreOptions, result: RestoreResult, fd: int
) -> None:
    settings.changed = True
    size = _position(fd) or result.bytes_read
    guest = result.guest.value
    if options.json:
        facts = asdict(result)
        del facts["report"]
        told = {"guest": guest, "bytes_read": size, "file": str(options.file)}
        settings.out.json({"result": "restored", **facts, **told})
        return
    speed = size / max(result.duration, 1e-9)
    settings.out.note(
        f"restored '{one_line(result.name)}' (domid {result.domid}) from "
        f"{one_line(str(options.file))}: {size_text(size)} in "
        f"{result.duration:.2f} s ({size_text(speed)}/s), guest is {guest}"
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
    """Give how far a regular file was read, by us and the helper; else None."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return None
    return os.lseek(fd, 0, os.SEEK_CUR)
