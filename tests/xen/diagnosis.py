"""What dom0 can tell of a guest that did not do what a test expects.

It is asked when something has gone wrong: whatever does not answer is left out.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from .support import CONSOLES, LINES, run

QEMU_LOGS = Path("/var/log/xen")
NEWEST = 2  # consoles: a guest that has ended has nothing else to tell why
LOOKS = 2  # does its processor move?
LIMIT = 60.0  # seconds for one answer


def hypervisor_log() -> str:
    """Return Xen's own log: a guest's crash is told there only."""
    return _answer("xl", "dmesg")


def diagnosis() -> Iterator[tuple[str, str]]:
    """Give titles and texts for the report of a failed test; its guests still live."""
    yield "hypervisor's log", _end(hypervisor_log())
    consoles = sorted(CONSOLES.glob("*.log"), key=lambda log: log.stat().st_mtime)
    for log in consoles[-NEWEST:]:
        yield log.name, _end(log.read_text(errors="replace"))
    rows = [line.split() for line in _answer("xl", "list").splitlines()]
    for name, domid in (row[:2] for row in rows if len(row) > 1 and row[1].isdigit()):
        if domid == "0":
            continue
        looks = "\n".join(_processor(domid) for _ in range(LOOKS))
        yield f"processor of {name}", looks
        for log in QEMU_LOGS.glob(f"qemu-dm-{name}.log"):
            yield f"device model of {name}", _end(log.read_text(errors="replace"))


def _processor(domid: str) -> str:
    """Return where a domain's first processor is: registers and stack."""
    programs = Path("/usr/lib").glob("xen-*/bin/xenctx")
    said = [_answer(program, "-a", domid) for program in programs]
    return "\n".join([_answer("xl", "vcpu-list", domid), *said])


def _answer(*command: str | Path) -> str:
    """Return what a program says; why it said nothing, if it could not."""
    try:
        return run(*command, seconds=LIMIT).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{error}\n"


def _end(text: str) -> str:
    return "\n".join(text.splitlines()[-LINES:])
