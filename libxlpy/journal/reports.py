"""One file for each job that failed, for whoever asks later what has happened.

The files lie in a folder beside the journal's, each with the name of its job; size and
number are bounded, the oldest go first. They are written by a thread of their own: a
disk that hangs costs a job at most :data:`PATIENCE`, and never its outcome.
"""

import contextlib
import os
import re
import sys
import time
from pathlib import Path

from libxlpy.aio import aside
from libxlpy.errors import BackendError, Cancelled, JobError, UsageError, reason_of
from libxlpy.journal import Folder
from libxlpy.results.report import JobReport
from libxlpy_protocol.fields import readable
from libxlpy_protocol.hello import PACKAGE
from libxlpy_protocol.messages import Hello

#: Seconds that a job waits for its report to be written; a busy machine needs some.
PATIENCE = 10.0
#: Bytes of one report.
SIZE_MAX = 256 * 1024
#: Reports kept.
KEPT = 32
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
JOB = re.compile(r"[A-Za-z0-9_-]{1,64}")
NAME = re.compile(rf"{JOB.pattern}\.txt(\.new)?")
WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
CUT = b"\n... cut: the report was longer\n"


class CrashReports:
    """The folder of the reports of one machine and backend."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, job: str, text: str) -> Path:
        """Write a report, and remove the oldest if there are too many now.

        Raises:
            OSError: It can't be written; nothing is left of it.
            BackendError: The folder is not ours alone.
        """
        Folder(self.path).make()
        path = self.path / f"{job}.txt"
        new = path.with_suffix(".txt.new")
        try:
            with open(os.open(new, WRITE, 0o600), "wb") as file:  # noqa: PTH123 - flags
                file.write(bounded(readable(text).encode(errors="backslashreplace")))
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        for old in self._files()[KEPT:]:
            old.unlink(missing_ok=True)
        return path

    def read(self, job: str) -> str:
        """Give the report of a job.

        Raises:
            UsageError: There is none; says of which jobs there are.
            BackendError: It can't be read, or the folder is not ours alone.
        """
        there = Folder(self.path).check()
        if there and JOB.fullmatch(job):
            with contextlib.suppress(FileNotFoundError):
                return self._text(self.path / f"{job}.txt")
        kept = [path.stem for path in self._files() if path.suffix == ".txt"]
        what = f"the newest are {', '.join(kept[:3])}" if kept else "there are none"
        raise UsageError(f"no report of job {job:.80}: {what}")

    def clear(self) -> None:
        """Remove all reports, and the folder if nothing else is in it."""
        for path in self._files():
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _files(self) -> list[Path]:
        """Give all reports, written or half so, newest first."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in self._listed():
                with contextlib.suppress(FileNotFoundError):
                    if NAME.fullmatch(path.name):
                        found.append((path.lstat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]

    def _listed(self) -> list[Path]:
        try:
            return list(self.path.iterdir())
        except FileNotFoundError:
            raise
        except OSError as exc:
            text = f"can't read the folder of reports {self.path}: {reason_of(exc)}"
            raise BackendError(text) from exc

    def _text(self, path: Path) -> str:
        try:
            with open(os.open(path, READ), "rb") as file:  # noqa: PTH123 - flags
                return file.read(SIZE_MAX).decode(errors="backslashreplace")
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise BackendError(f"can't read {path}: {reason_of(exc)}") from exc


def bounded(data: bytes) -> bytes:
    """Give the start of a report that is too long, and say that it was."""
    if len(data) <= SIZE_MAX:
        return data
    return data[: SIZE_MAX - len(CUT)] + CUT


async def filed(
    folder: Path, job: str, error: JobError, helper: Hello | None
) -> JobReport:
    """Have the report of a failed job written; never raises but to be cancelled.

    Args:
        folder: Of the reports.
        job: Its name.
        error: How it failed, with its details.
        helper: What the helper told of itself, if it did.

    Returns:
        The details, with the file's path or why there is none.
    """
    details = error.details
    if isinstance(error, Cancelled) and not details.later_errors:
        return details  # it was asked for and went well

    def write() -> str:
        head = "\n".join([f"name: {job}", *surroundings(helper)])
        return str(CrashReports(folder).write(job, f"{head}\n{error.report()}\n"))

    try:
        return details.replace(file=await aside(write, PATIENCE))
    except TimeoutError:
        why = f"report was not written within {PATIENCE:g} s"
    except Exception as exc:  # the boundary: the outcome is more than its report
        why = f"report can't be written: {exc}"
    return details.replace(later_errors=(*details.later_errors, why))


def surroundings(helper: Hello | None) -> list[str]:
    """Give what a failure may depend on, one fact a line."""
    system = os.uname()
    try:
        pattern = CORE_PATTERN.read_text().strip()
    except OSError as exc:
        pattern = f"can't be read: {reason_of(exc)}"
    facts = [
        f"written: {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
        f"libxlpy: {PACKAGE}",
        f"python: {sys.version.split()[0]}",
        f"kernel: {system.sysname} {system.release} {system.version}",
        f"core pattern: {pattern}",
    ]
    if helper is None:
        return [*facts, "helper said: nothing"]
    library = f"{helper.library} {helper.library_version}".strip()
    return [*facts, f"helper said: {helper.package}", f"library: {library or 'none'}"]
