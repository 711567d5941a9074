"""What is said before the command: backend, host, how much to print."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from libxlpy.cli.terminal.output import Output
from libxlpy.cli.terminal.signals import Signals

BackendName = Literal["auto", "xen", "simxen"]


@dataclass(slots=True)
class Settings:
    """Options of `xlpy` itself.

    Attributes:
        out: Where the command prints.
        signals: Who takes SIGINT and SIGTERM.
        backend: Which hypervisor.
        host: Directory of the simxen host; None for the default one.
        verbose: Print log lines, and reports of failures.
        changed: The command has changed something: an unread answer is no failure.
    """

    out: Output
    signals: Signals = field(default_factory=Signals)
    backend: BackendName = "auto"
    host: Path | None = None
    verbose: bool = False
    changed: bool = False
