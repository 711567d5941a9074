"""Run xlpy as users do: a process of its own, its words and its exit status."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from libxlpy.simxen.client import request

ROOT = Path(__file__).resolve().parents[2]
XLPY = [sys.executable, "-m", "libxlpy.cli"]
#: Seconds for one command on a busy machine; a bound, not a measure.
PATIENCE = 50.0


def environment() -> dict[str, str]:
    roots = [ROOT, ROOT / "helper", ROOT / "protocol"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))}


def private_mounts(script: str, folder: Path, command: list[str]) -> list[str]:
    """Give a command that runs after a shell script, with mounts of its own.

    The script has the folder as $1; what it mounts is gone with the process.
    """
    shell = ["sh", "-e", "-c", f'{script}\nshift; exec "$@"', "sh", str(folder)]
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *root, *shell, *command]


class Shell:
    """One simxen host, and commands on it."""

    def __init__(self, host: Path) -> None:
        self.host = host

    def command(self, *arguments: object) -> list[str]:
        return [*XLPY, "--host", str(self.host), *map(str, arguments)]

    def run(
        self, *arguments: object, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever that is."""
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=environment(),
            **options,
        )

    def good(self, *arguments: object) -> str:
        """Run a command that must succeed; give its stdout."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def bad(self, *arguments: object, status: int = 1, **options: Any) -> str:
        """Run a command that must fail with one line; give the line."""
        done = self.run(*arguments, **options)
        return failure_line(done.returncode, done.stderr, status)

    def json(self, *arguments: object) -> Any:
        """Run a command that prints one JSON value."""
        return json.loads(self.good(*arguments))

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Ask the host itself: faster than a command, for what is not under test."""
        return request(self.host, do, **fields)

    def domains(self) -> list[dict[str, Any]]:
        """Give what the host knows of all domains."""
        domains: list[dict[str, Any]] = self.ask("list")["domains"]
        return domains

    def facts(self, name: str) -> dict[str, Any]:
        """Give what the host knows of a domain; {} if it does not exist."""
        return next((each for each in self.domains() if each["name"] == name), {})

    @contextlib.contextmanager
    def guest(self, name: str, **fields: Any) -> Iterator[int]:
        """Create a domain; all domains are gone afterwards."""
        fields = {"memory_mib": 16, "rate": 2000, **fields}
        try:
            yield int(self.ask("create", name=name, **fields)["domid"])
        finally:
            for facts in self.domains():
                self.ask("destroy", domid=facts["domid"])

    @contextlib.contextmanager
    def running(self, *arguments: object, **options: Any) -> Iterator["Running"]:
        """Start a command; it is gone afterwards."""
        with self.started(self.command(*arguments), **options) as running:
            yield running

    @staticmethod
    @contextlib.contextmanager
    def started(command: list[str], **options: Any) -> Iterator["Running"]:
        """Start any program; it is gone afterwards."""
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **{"env": environment(), **options},
        ) as process:
            try:
                yield Running(process)
            finally:
                process.kill()


class Running:
    """A command under way whose JSON events are read as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._data = b""

    def until_phase(self, name: str) -> None:
        """Read events until the job enters a phase."""
        while self.event().get("name") != name:
            pass

    def event(self) -> dict[str, Any]:
        """Read the next event."""
        stdout = self.process.stdout
        assert stdout is not None
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._data:
            left = deadline - time.monotonic()
            assert select.select([stdout], [], [], max(left, 0))[0], "no event came"
            chunk = os.read(stdout.fileno(), 4096)
            assert chunk, f"it ended: {self.errors()}"
            self._data += chunk
        line, self._data = self._data.split(b"\n", 1)
        event: dict[str, Any] = json.loads(line)
        return event

    def errors(self) -> str:
        """Read stderr to its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def failure(self, status: int) -> str:
        """Wait for the end, which must be a failure with one line; give the line."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return failure_line(self.process.returncode, errors.decode(), status)


def failure_line(status: int, errors: str, expected: int) -> str:
    assert status == expected, f"exit status {status}: {errors}"
    assert "Traceback" not in errors, errors
    lines = [line for line in errors.splitlines() if line.startswith("xlpy")]
    assert len(lines) == 1, errors
    assert errors.endswith(lines[0] + "\n"), errors
    return lines[0]
