"""How a scripted helper is started."""

import sys
from collections.abc import Callable
from pathlib import Path

from libxlpy.backend import Backend

HERE = Path(__file__).resolve().parent
PROTOCOL = HERE.parents[1] / "protocol"

#: Deadlines of tests: short where a test waits for one to pass.
QUICK = {"abort_grace": 0.3, "term_grace": 0.3, "repair": 2.0}


def argv(script: str) -> Callable[[Backend], list[str]]:
    """Give what starts a scripted helper."""
    program = [sys.executable, "-I", str(HERE / "scripted_helper.py"), str(PROTOCOL)]
    return lambda backend: [*program, script]
