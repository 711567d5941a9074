"""What the helper removes: files that are made for its domain, by their folder.

A message names a path. A file there is one of ours if it has the name that such a file
of the domain has, is a regular one, and our user's: any other is left alone. The folder
is opened once, whatever its name leads to later.
"""

from __future__ import annotations

import contextlib
import os
import stat

from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Name(Value):
    """A name in a folder that is open."""

    folder: int
    name: str

    def status(self) -> os.stat_result | None:
        """Give what is there, no link followed; None if nothing is."""
        with contextlib.suppress(FileNotFoundError):
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        return None

    def remove(self, made_as: str) -> bool:
        """Remove a file if it is one that is made under a name; tell whether it was.

        Raises:
            OSError: It can't be removed.
        """
        status = self.status()
        if status is None or not self._is_ours(status, made_as):
            return False
        os.unlink(self.name, dir_fd=self.folder)
        return True

    def _is_ours(self, status: os.stat_result, made_as: str) -> bool:
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        return ours and self.name == made_as


@contextlib.contextmanager
def opened(path: str) -> Iterator[Name]:
    """Open the folder of a file.

    Raises:
        OSError: There is none.
    """
    head, name = os.path.split(path)
    folder = os.open(head or ".", FOLDER)
    try:
        yield Name(folder, name)
    finally:
        os.close(folder)
