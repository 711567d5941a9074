"""What dom0 can tell of a guest that did not do what a test expects."""

from collections.abc import Iterator
from pathlib import Path

from .support import LINES, domains, run

QEMU_LOGS = Path("/var/log/xen")
LOOKS = 2  # does its processor move?


def hypervisor_log() -> str:
    """Return Xen's own log: a guest's crash is told there only."""
    return run("xl", "dmesg").stdout


def diagnosis() -> Iterator[tuple[str, str]]:
    """Give titles and texts for the report of a failed test; its guests still live."""
    yield "hypervisor's log", _end(hypervisor_log())
    for name in domains():
        yield f"processor of {name}", "\n".join(_processor(name) for _ in range(LOOKS))
        for log in QEMU_LOGS.glob(f"qemu-dm-{name}.log"):
            yield f"device model of {name}", _end(log.read_text(errors="replace"))


def _processor(name: str) -> str:
    """Return where a domain's first processor is: registers and stack."""
    [xenctx] = Path("/usr/lib").glob("xen-*/bin/xenctx")
    domid = run("xl", "domid", name).stdout.strip()
    return run("xl", "vcpu-list", name).stdout + run(xenctx, "-a", domid).stdout


def _end(text: str) -> str:
    return "\n".join(text.splitlines()[-LINES:])
