"""What libxc says of its progress, at most so often.

It reports every 1024 frames, and an HVM guest has a million of them in its first 4 GiB,
most of which are none: a message for each would cost more than the frames do.
"""

import time
from typing import Final

from libxlpy_helper.outbox import Outbox
from libxlpy_protocol.fields import NAME_MAX, clip
from libxlpy_protocol.messages import Progress

INTERVAL: Final = 0.1  # seconds between two messages about the same thing


class ProgressReport:
    """Tells the begin and the end of each thing that libxc does, and how far it is."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._said = ("", "")
        self._next = 0.0

    def tell(self, context: str, doing_what: str, done: int, total: int) -> None:
        """Take one report of libxc's."""
        what, now = (context, doing_what), time.monotonic()
        if what == self._said and done < total and now < self._next:
            return
        self._said, self._next = what, now + INTERVAL
        context, doing_what = clip(context, NAME_MAX), clip(doing_what, NAME_MAX)
        self._outbox.put(Progress(context, doing_what, done, total))
