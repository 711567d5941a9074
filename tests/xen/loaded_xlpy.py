"""`xlpy` in a process of its own, forked from this one, which has it loaded already.

Under emulation Python takes eight seconds to load it, natively a third of one, and the
tests start it some seventy times. The program as it is installed is run where a test
starts it with something before it, and by the service of ``test_systemd``.
"""

import gc
import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, NoReturn

from libxlpy.cli.main import main

BUG = 70

MODULES = ("command", "save", "restore", "verify", "list", "inspect.file")
for module in (*MODULES, "migrate", "jobs"):
    import_module(f"libxlpy.cli.{module}")


class LoadedXlpy:
    """A running `xlpy`, with what the tests need of a ``subprocess.Popen``."""

    def __init__(self, arguments: Sequence[str | Path]) -> None:
        self.args = ["xlpy", *map(str, arguments)]
        self.returncode: int | None = None
        self.stderr: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read at the end
        reading, writing = os.pipe()
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            self.pid = os.fork()  # threads of ours hold no lock that it needs
        if not self.pid:
            _become_xlpy(self.args, writing, self.stderr.fileno())
        os.close(writing)
        self.stdout: IO[str] = os.fdopen(reading)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has been waited for."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def poll(self) -> int | None:
        """Give its status if it has ended."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int | None:
        """Wait for its end; give its status."""
        return self._reap(0)

    def _reap(self, flags: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, flags)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def communicate(self, timeout: float = threading.TIMEOUT_MAX) -> tuple[str, str]:
        """Wait for its end; give what it wrote. It is killed when its time is up."""
        if self.stdout.closed:
            self.wait()
            return "", ""
        timer = threading.Timer(timeout, self.kill)
        timer.start()
        try:
            with self.stdout, self.stderr:
                out = self.stdout.read()
                self.wait()
                self.stderr.seek(0)
                return out, self.stderr.read()
        finally:
            timer.cancel()
            timer.join()


def _become_xlpy(args: list[str], out: int, err: int) -> NoReturn:
    """Run the program in the new process and end it."""
    status: object = BUG
    try:
        gc.freeze()  # what the tests have open is not collected here: it is closed
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        # Pytest's write to a file whose number may be that of qemu's socket by now.
        logging.getLogger().handlers.clear()
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(fd, mode, closefd=False) for fd, mode in enumerate("rww")
        )
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = args
        status = main()
    except SystemExit as exc:
        status = exc.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))
