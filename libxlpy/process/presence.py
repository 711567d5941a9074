"""What a helper is told again and again, so that it sees whether we are stopped.

A process that is stopped (SIGSTOP), or hangs in the kernel, keeps its pipes open: that
it says nothing is all that a helper can see of it.
"""

import asyncio
from collections.abc import Callable

from libxlpy_protocol.messages import Alive

#: Feature of a helper that listens for it.
ALIVE = "alive"
#: Times that it is said before silence is too long.
SIGNS = 6


class Presence:
    """Of this process, for one helper; by a timer, as nobody waits for it."""

    def __init__(self, say: Callable[[Alive], bool]) -> None:
        """Say nothing until :meth:`begin`.

        Args:
            say: Sends it; False once nothing can be sent.
        """
        self._say = say
        self._seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float) -> None:
        """Have silence of so many seconds taken for the loss of us from here on."""
        self._seconds = seconds
        self._show()

    def end(self) -> None:
        """Say no more; idempotent. What was said last stands."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _show(self) -> None:
        self._timer = None
        self._say(Alive(max(1, int(self._seconds * 1000))))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds / SIGNS, self._show)
