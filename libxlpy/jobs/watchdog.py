"""Named deadlines of one job, on one timer of the event loop."""

import asyncio
from collections.abc import Callable

#: Seconds a sign of life that passed its time is waited for once more: if this process
#: itself was stopped or starved, the sign is already in the pipe and is read first.
SECOND_LOOK = 1.0


class _Bound:
    def __init__(self, seconds: float, at: float, looks: int) -> None:
        self.seconds = seconds
        self.at = at
        self.looks = looks


class Watchdog:
    """Call back, once each, with the name of every deadline that passes."""

    def __init__(self, expired: Callable[[str, float], None]) -> None:
        """Start with no deadline.

        Args:
            expired: Called with the name and the seconds of a deadline that passed.
        """
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._bounds: dict[str, _Bound] = {}
        self._timer: asyncio.TimerHandle | None = None

    def arm(self, name: str, seconds: float | None, *, looks: int = 1) -> None:
        """Set a deadline, or set it anew.

        Args:
            name: What it bounds, as it appears in the error.
            seconds: From now; None for no deadline.
            looks: Expirations until it counts: 2 gives a second look.
        """
        if seconds is None:
            return
        self._bounds[name] = _Bound(seconds, self._loop.time() + seconds, looks)
        self._set_timer()

    def disarm(self, name: str) -> None:
        """Forget a deadline; no error if there is none."""
        self._bounds.pop(name, None)

    def close(self) -> None:
        """Forget all of them."""
        self._bounds.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        """Keep one timer, never later than the nearest deadline."""
        if not self._bounds:
            return
        nearest = min(bound.at for bound in self._bounds.values())
        if self._timer is not None:
            if self._timer.when() <= nearest:
                return  # wakes early, looks, sets itself anew
            self._timer.cancel()
        self._timer = self._loop.call_at(nearest, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for name, bound in list(self._bounds.items()):
            if bound.at > now or self._bounds.get(name) is not bound:
                continue
            bound.looks -= 1
            if bound.looks:
                bound.at = now + SECOND_LOOK
                continue
            del self._bounds[name]
            self._expired(name, bound.seconds)
        self._set_timer()
