"""What a job writes down of itself, for whoever finds it without its parent."""

import contextlib
from collections.abc import Callable
from typing import Any

from libxlpy.jobs.operation import Plan
from libxlpy.jobs.record import Record
from libxlpy.journal.identity import Identity
from libxlpy.results import ImageState

#: Writes facts of a job to its journal.
Note = Callable[[dict[str, Any]], None]


class JobNotes:
    """The journal of one job."""

    def __init__(self, plan: Plan[Any], record: Record, note: Note | None) -> None:
        """Have each new fact written.

        Args:
            plan: Knows of guest and device model.
            record: Knows the phase and the helper's verdict.
            note: Writes; None for a job that is not written down.
        """
        self._plan = plan
        self._record = record
        self._note = note
        self._helpers: list[Identity] = []
        plan.noted_by(self.write)

    def helper(self, pid: int) -> None:
        """Take note of a process that works for the job."""
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            self._helpers.append(Identity.of(pid))
        self.write()

    def write(self) -> None:
        """Write down how far the job is; a journal that fails does not end a job."""
        if self._note is None:
            return
        try:
            self._note(
                {
                    **self._plan.facts(),
                    "phase": self._record.phase,
                    "helpers": tuple(self._helpers),
                    "complete": self._record.image() is ImageState.COMPLETE,
                }
            )
        except OSError as exc:
            self._record.later.append(f"journal can't be written: {exc.strerror}")
            self._note = None
