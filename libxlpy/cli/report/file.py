"""Where a report goes: looked at before anything is done, written at the end.

It takes the place of a regular file of ours only, as a whole and at once; anything else
is refused.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Final

from libxlpy import folders
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy.errors import reason_of
from libxlpy.folders import NotOursAlone, Place, user

MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
MODE: Final = 0o644


class ReportFile:
    """One file; each method blocks while its disk does not answer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, others: tuple[Path, ...] = ()) -> None:
        """See that it can be written, by making a file beside it and removing it.

        Args:
            others: Files of the command that it must not be.

        Raises:
            CommandFailed: It can't, or it is one of the others.
        """
        for other in others:
            if _same(self.path, other):
                raise self._refused("the domain goes there; name another file")
        with self._place() as place:
            new = self._made(place, b"")
            os.unlink(new, dir_fd=place.folder)

    def write(self, data: bytes) -> None:
        """Write it.

        Raises:
            CommandFailed: It can't be written; what was there is as it was.
        """
        with self._place() as place:
            new = self._made(place, data)
            try:
                folder = place.folder
                os.replace(new, place.name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(new, dir_fd=place.folder)
                raise

    @contextmanager
    def _place(self) -> Iterator[Place]:
        """Find the folder, and see that what is there may be replaced."""
        try:
            try:
                place = folders.find(self.path)
            except FileNotFoundError as exc:
                missing = exc.filename or self.path.parent
                raise self._refused(f"folder {missing} does not exist") from exc
            try:
                self._check(place)
                yield place
            finally:
                os.close(place.folder)
        except FileNotFoundError as exc:  # as /proc says it, where files can't be made
            text = f"no file can be made in {self.path.parent}; name another folder"
            raise self._refused(text) from exc
        except NotOursAlone as exc:
            raise self._refused(str(exc)) from exc
        except OSError as exc:
            raise self._refused(reason_of(exc)) from exc

    def _check(self, place: Place) -> None:
        found = place.status
        if place.of_kernel or (found is not None and not stat.S_ISREG(found.st_mode)):
            raise self._refused("it is no regular file; name another one")
        if found is not None and found.st_uid != os.geteuid():
            whose = user(found.st_uid)
            raise self._refused(f"it belongs to user {whose}; name another one")

    def _made(self, place: Place, data: bytes) -> str:
        """Make a file beside it; give its name."""
        name = f".xlpy-report-{token_hex(4)}"
        with open(  # noqa: PTH123 - a descriptor
            os.open(name, MAKE, MODE, dir_fd=place.folder), "wb"
        ) as file:
            try:
                file.write(data)
                file.flush()
            except OSError:
                os.unlink(name, dir_fd=place.folder)
                raise
        return name

    def _refused(self, why: str) -> CommandFailed:
        return CommandFailed(f"report {self.path} can't be written: {why}")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()
