"""Each command is a new process: what it loads is paid for every time."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.shell import PATIENCE, Shell, environment


def loaded(shell: Shell, *arguments: object) -> set[str]:
    """Give the modules that a command loads."""
    program = [sys.executable, "-X", "importtime", *shell.command(*arguments)[1:]]
    done = subprocess.run(
        program,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        env=environment(),
    )
    return set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))


def test_no_dataclass_is_made(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "file"
    with shell.guest("lean", memory_mib=4):
        for command in (
            ["list"],
            ["save", "-c", "lean", file],
            ["save", "lean", file],
            ["verify", file],
            ["restore", file],
            ["jobs", "--json"],
        ):
            modules = loaded(shell, *command)
            assert "libxlpy.cli.command" in modules
            # 69 of them were made for a save, with a tenth of its processor time.
            assert "dataclasses" not in modules, command
