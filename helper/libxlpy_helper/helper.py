"""The helper from its hello on: the parts of it, and its main thread."""

from __future__ import annotations

from libxlpy_helper.begun import FEATURES
from libxlpy_helper.control import Control
from libxlpy_helper.parent_wire import Wire
from libxlpy_helper.parts import Parts, hello
from libxlpy_helper.stats import ProgressReport
from libxlpy_protocol.enums import Mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from libxlpy_helper.begun import Begun
    from libxlpy_helper.operation import Operation
    from libxlpy_protocol.messages import Complete, Start


class Helper:
    """One process; ``begun`` is what it has done so far."""

    def __init__(self, begun: Begun) -> None:
        self._parts = parts = Parts(begun.claimed)
        report = ProgressReport(parts.outbox)

        def progress(context: str, doing_what: str, done: int, total: int) -> None:
            parts.stats.progress(doing_what, done, total)
            report.tell(context, doing_what, done, total)

        parts.take_log(begun.log, progress)
        library = begun.library
        greeting = hello(library.name, library.version, FEATURES)
        self._handle = begun.handle
        self._control = Control(
            Wire(parts.pipes, parts.outbox, greeting, sent=begun.sent),
            parts,
            begun.signal_fd,
            begun.control_handle,
            begun.parent,
        )

    def run(self) -> NoReturn:
        """Start the control thread, do the operation it is told, wait for the end."""
        self._control.run_beside(self._work)

    def _work(self) -> Complete:
        start = self._control.wait_start()
        # Only now: many a helper does nothing but hypercalls.
        from libxlpy_helper.operation import Operation, run

        steps = _steps(start)
        return run(Operation.of(self._parts, start, self._handle), steps)


def _steps(start: Start) -> Callable[[Operation], None]:
    """Load all that the operation needs; return what does it."""
    if start.mode is Mode.RESTORE:
        from libxlpy_helper.restore import restore

        return restore
    from libxlpy_helper.repair import prepare
    from libxlpy_helper.save import save

    prepare(start)
    return save
