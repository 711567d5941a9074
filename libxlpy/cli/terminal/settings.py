"""What is said before the command: backend, host, how much to print."""

from pathlib import Path
from typing import Literal

from libxlpy.cli.terminal.output import Output
from libxlpy.cli.terminal.signals import Signals

BackendName = Literal["auto", "xen", "simxen"]


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

    def __init__(
        self, out: Output, signals: Signals | None = None, *, verbose: bool = False
    ) -> None:
        self.out = out
        self.signals = signals or Signals()
        self.backend: BackendName = "auto"
        self.host: Path | None = None
        self.verbose = verbose
        self.changed = False
