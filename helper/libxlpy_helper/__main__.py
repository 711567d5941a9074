"""The life of the helper process, in order of execution."""

from __future__ import annotations

import faulthandler
import sys
from importlib import import_module

from libxlpy_helper.control import Control
from libxlpy_helper.harden import harden
from libxlpy_helper.options import Options, parse_options
from libxlpy_helper.startup import Parts, hello, run_program, take_all_signals
from libxlpy_helper.stats import ProgressReport
from libxlpy_helper.wire import Wire
from libxlpy_helper.xen import xenguest
from libxlpy_helper.xen.library import open_library
from libxlpy_protocol.enums import Mode
from libxlpy_protocol.messages import Complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

FEATURES: Final = ("stat", "domain-ops", "libxl-stream", "suspend-event", "alive")


def main(argv: list[str]) -> NoReturn:
    """Start up, do the one job, end; never returns."""
    run_program(Control.program, lambda: Helper(parse_options(argv)).run())


class Helper:
    """The parts of one helper process, and its main thread."""

    def __init__(self, options: Options) -> None:
        self._parts = parts = Parts()
        faulthandler.enable()  # a crash inside libxc: where Python was, on stderr
        signal_fd = take_all_signals()
        harden(options.parent)
        report = ProgressReport(parts.outbox)

        def progress(context: str, doing_what: str, done: int, total: int) -> None:
            parts.stats.progress(doing_what, done, total)
            report.tell(context, doing_what, done, total)

        xenguest.set_sink(parts.log, progress)
        library = open_library(options)
        self._handle = parts.open_handle(library)
        greeting = hello(library.name, library.version, FEATURES)
        self._control = Control(
            Wire(parts.pipes, parts.outbox, greeting),
            parts,
            signal_fd,
            parts.open_handle(library),
            options.parent,
        )

    def run(self) -> NoReturn:
        """Start the control thread, do the operation it is told, wait for the end."""
        self._control.run_beside(self._work)

    def _work(self) -> Complete:
        start = self._control.wait_start()
        # Only now: many a helper does nothing but hypercalls. And all of it, before
        # the guest is touched: a repair must not depend on files.
        operation = import_module("libxlpy_helper.operation")
        import_module("libxlpy_helper.repair")
        steps = {
            Mode.SAVE: import_module("libxlpy_helper.save").save,
            Mode.REMUS: import_module("libxlpy_helper.save").save,
            Mode.RESTORE: import_module("libxlpy_helper.restore").restore,
        }
        job = operation.Operation.of(self._parts, start, self._handle)
        outcome: Complete = operation.run(job, steps[start.mode])
        return outcome


if __name__ == "__main__":
    main(sys.argv[1:])
