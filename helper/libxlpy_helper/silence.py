"""How long nothing was heard of the parent, as counted by one who listens.

It may be stopped, or hang in the kernel: then its pipes stay open, and say nothing.
"""

from __future__ import annotations

import time

from libxlpy_helper.control_loop import HEARTBEAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Seconds that one look adds at most. If we did not look for longer we were stopped
#: ourselves, maybe with the parent, and have yet to read what it has said.
LOOK_MAX: Final = 2 * HEARTBEAT


class Silence:
    """Of the parent; looked at once a heartbeat."""

    def __init__(self) -> None:
        self.bound_ms = 0  # what is too long; 0: nothing is
        self._seconds = 0.0
        self._looked_at = time.monotonic()

    def heard(self) -> None:
        """Take that it has said something."""
        self._seconds = 0.0
        self._looked_at = time.monotonic()

    def is_too_long(self) -> bool:
        """Look, and tell."""
        now = time.monotonic()
        self._seconds += min(now - self._looked_at, LOOK_MAX)
        self._looked_at = now
        return 0 < self.bound_ms <= self._seconds * 1000
