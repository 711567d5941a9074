"""On a terminal passes and a bar are drawn; the bar goes, the last line says it all."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from tests.support.shell import PATIENCE, Shell, environment

WIDE_TERMINAL = {"TERM": "xterm", "COLUMNS": "160"}
#: Colours and cursor movements.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: What, how much of it, how fast, which pass, its pages, how much longer.
WHOLE_BAR = re.compile(
    r"save web (\u2501|\u2578|\u257a)+ +\d+% +\d+\.\d [KMG]iB/s, "
    r"Frames iteration \d+, [\d,]+ dirty, \d+ s left"
)


def seen_on_terminal(command: list[str], **variables: str) -> str:
    """Run a command with a terminal as stderr; give what it wrote there."""
    wanted = {**environment(), **WIDE_TERMINAL, **variables}
    master, slave = os.openpty()
    try:
        with subprocess.Popen(command, stderr=slave, env=wanted) as process:
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
    with shell.guest("web", memory_mib=64, fill=True) as domid:
        # Long enough for a rate to be measured, twice.
        shell.ask("misbehave", domid=domid, fault="slow_ack", seconds=1)
        shown = seen_on_terminal(
            shell.command("save", "-c", "--live", "web", tmp_path / "image")
        )
    assert "\x1b[?25l" in shown  # the cursor is hidden while the bar is there
    assert "\x1b[?25h" in shown
    assert WHOLE_BAR.search(CONTROL.sub("", shown)), CONTROL.sub("", shown)
    last = shown.rstrip().splitlines()[-1]
    assert "saved 'web' (domid" in last
    assert last.endswith("guest is running")


def test_a_migration_leaves_its_passes_and_what_the_receiver_said(
    shell: Shell, tmp_path: Path
) -> None:
    """It writes to us and not to the terminal: that would move what is drawn there."""
    target = Shell(tmp_path / "target")
    target.good("sim", "start")
    receive = shlex.join(target.command("migrate-receive"))
    receive = f"test ! -t 2 && exec {receive}"
    try:
        with shell.guest("web", memory_mib=64):
            command = shell.command("migrate", "-s", "", "web", receive)
            shown = seen_on_terminal(command, COLUMNS="80")
    finally:
        target.good("sim", "stop")
    lines = [line.rpartition("\r")[2] for line in CONTROL.sub("", shown).splitlines()]
    lines = [line for line in lines if line]
    assert max(map(len, lines)) <= 80
    assert "migration target: Ready to receive domain." in lines
    heads = ["pass", "sent", "dirty", "rate", "downtime"]
    (*_, head) = (at for at, line in enumerate(lines) if line.split() == heads)
    passes = [line.split()[0] for line in lines[head + 1 : -7]]
    assert passes == [*map(str, range(len(passes) - 1)), "down"]
    assert lines[-3].strip() == "dirty pages after each pass (logarithmic)"
    assert lines[-2].startswith("migrated 'web' (domid")
