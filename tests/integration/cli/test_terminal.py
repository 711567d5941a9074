"""On a terminal a bar is drawn and taken away; the last line says it all."""

import os
import subprocess
from pathlib import Path

from tests.integration.cli.shell import PATIENCE, Shell, environment


def seen_on_terminal(command: list[str]) -> str:
    """Run a command with a terminal as stderr; give what it wrote there."""
    master, slave = os.openpty()
    try:
        with subprocess.Popen(
            command, stderr=slave, env={**environment(), "TERM": "xterm"}
        ) as process:
            os.close(slave)
            slave = -1
            shown = b""
            try:
                while chunk := os.read(master, 4096):
                    shown += chunk
            except OSError:
                pass  # EIO: the other side is closed
            assert process.wait(PATIENCE) == 0
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)
    return shown.decode()


def test_a_save_shows_a_bar_and_then_its_result(shell: Shell, tmp_path: Path) -> None:
    with shell.guest("web", memory_mib=64):
        shown = seen_on_terminal(
            shell.command("save", "-c", "--live", "web", tmp_path / "image")
        )
    assert "\x1b[?25l" in shown  # the cursor is hidden while the bar is there
    assert "\x1b[?25h" in shown
    last = shown.rstrip().splitlines()[-1]
    assert "saved 'web' (domid" in last
    assert last.endswith("guest is running")
