"""The process that hands a migration's stream in keeps a guest waiting: it is lean."""

import re
import subprocess
import sys

HEAVY = {"asyncio", "libxlpy.api", "libxlpy.context", "libxlpy.cli.receive"}


def test_it_loads_next_to_nothing():
    command = [sys.executable, "-X", "importtime", "-m", "libxlpy.cli"]
    done = subprocess.run(
        [*command, "migrate-receive", "--stream", "nobody"],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no receiver waits for this stream" in done.stderr
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "libxlpy.migration.handing" in loaded
    assert loaded & HEAVY == set()
