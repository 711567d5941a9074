"""A command that waits for long says for what."""

import json
import os
import select
import signal
import time

import pytest

from tests.support.shell import PATIENCE, Shell


def told(errors: int) -> str:
    """Give the first line that comes."""
    end, text = time.monotonic() + PATIENCE, b""
    while b"\n" not in text:
        left = max(end - time.monotonic(), 0)
        assert select.select([errors], [], [], left)[0], "nothing was said"
        text += os.read(errors, 4096)
    return text.decode().splitlines()[0].strip()


@pytest.mark.parametrize("command", [("list",), ("save", "web", "file")])
def test_host_that_does_not_answer_is_told_to_be_waited_for(
    shell: Shell, command: tuple[str, ...]
):
    pid = json.loads((shell.host / "host.json").read_text())["pid"]
    with shell.guest("web"):
        os.kill(pid, signal.SIGSTOP)
        try:
            with shell.running(*command) as running:
                assert running.process.stderr is not None
                line = told(running.process.stderr.fileno())
                assert line == "waiting: an answer of the hypervisor"
        finally:
            os.kill(pid, signal.SIGCONT)
