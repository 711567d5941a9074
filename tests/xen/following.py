"""A running `xlpy save` or `xlpy restore`, followed event by event."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .loaded_xlpy import LoadedXlpy
from .support import PATIENCE


class Following:
    """One `xlpy COMMAND --json`. A context manager."""

    def __init__(
        self, command: str, *arguments: str | Path, prefix: Sequence[str] = ()
    ) -> None:
        self.events: list[dict[str, Any]] = []
        words = [command, "--json", *map(str, arguments)]
        self.process = (
            _started([*prefix, "xlpy"], words) if prefix else LoadedXlpy(words)
        )

    def __enter__(self) -> "Following":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def until_phase(self, name: str) -> None:
        """Wait until it enters a phase."""
        self._until("phase", "name", name)

    def until_doing(self, what: str) -> None:
        """Wait until libxenguest tells progress of something."""
        self._until("progress", "doing_what", what)

    def _until(self, event: str, field: str, value: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            last = self.events[-1]
            if last.get("event") == event and last.get(field) == value:
                return
        raise AssertionError(f"no {event} {value}: {self.events[-5:]} {self.failure()}")

    @property
    def helper(self) -> int:
        """Pid of the helper."""
        [pid] = [e["helper_pid"] for e in self.events if "helper_pid" in e]
        assert isinstance(pid, int)
        return pid

    def success(self) -> None:
        """Wait for its end, which must be good."""
        self.failure(status=0)

    def failure(self, status: int = 1) -> str:
        """Wait for its end with this status; return what it said of it."""
        _, said = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == status, said
        return said.strip()


def _started(program: list[str], words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*program, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def unread_pipe(path: Path) -> Iterator[None]:
    """Make a pipe that somebody has open and nobody reads."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield
    finally:
        os.close(reader)
        path.unlink()
