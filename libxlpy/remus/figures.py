"""How long the epochs of a protection take."""

import time
from collections import deque

from libxlpy_protocol.value import Value

#: Epochs that are remembered.
LAST = 4096


class Spread(Value):
    """Of the last epochs, in milliseconds; None before the first."""

    median: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, seconds: "deque[float]") -> "Spread":
        """Take what was measured."""
        if not seconds:
            return cls()
        ordered = sorted(seconds)
        return cls(
            median=ordered[len(ordered) // 2] * 1e3,
            p99=ordered[len(ordered) * 99 // 100] * 1e3,
        )


class RemusFigures(Value, kw_only=True):
    """A protection, as it is."""

    #: The last epoch that the backup holds; 0 before the first.
    epoch: int
    #: Seconds since the guest was as the backup has it; None before the first epoch.
    lag: float | None
    #: The guest is suspended for so long at the end of an epoch.
    pause: Spread
    #: From there on, until what it has sent is let go.
    commit: Spread


class Clock:
    """Measures the epochs of one guest."""

    def __init__(self) -> None:
        """Begin before the first."""
        self.pauses: deque[float] = deque(maxlen=LAST)
        self._commits: deque[float] = deque(maxlen=LAST)
        #: When those that are not committed were closed, the first one first.
        self._closed: deque[float] = deque()
        self._held: float | None = None

    def closed(self) -> None:
        """Take note that the guest is suspended at the end of an epoch."""
        self._closed.append(time.monotonic())

    def resumed(self, seconds: float) -> None:
        """Take note that it runs again, after so long."""
        self.pauses.append(seconds)

    def committed(self) -> None:
        """Take note that the first of those that were closed was committed."""
        self._held = self._closed.popleft()
        self._commits.append(time.monotonic() - self._held)

    def figures(self, epoch: int) -> RemusFigures:
        """Give what was measured, with the last epoch that is held."""
        return RemusFigures(
            epoch=epoch,
            lag=None if self._held is None else time.monotonic() - self._held,
            pause=Spread.of(self.pauses),
            commit=Spread.of(self._commits),
        )
