"""A foreign event loop: ``poll``, one timer list, nothing of asyncio."""

import itertools
import math
import select
import time
from collections.abc import Callable
from typing import Any

from libxlpy.libxl import (
    LibxlCtx,
    OSEventHooks,
    libxl_osevent_occurred_fd,
    libxl_osevent_occurred_timeout,
)
from libxlpy.libxl.osevent import Hooked


class ForeignLoop:
    """Watches what it is told to and says what has occurred."""

    def __init__(self) -> None:
        self.poll = select.poll()
        self.fds: dict[int, tuple[int, object]] = {}
        self.timers: dict[int, tuple[float, object]] = {}
        self.calls: list[str] = []
        self.turns = 0
        self._numbers = itertools.count()

    def hooks(self) -> OSEventHooks:
        return OSEventHooks(
            self._fd_register,
            self._fd_deregister,
            self._timeout_register,
            self._timeout_modify,
            self._timeout_deregister,
        )

    def _fd_register(self, fd: int, events: int, for_libxl: object) -> str:
        self.calls.append("fd_register")
        self.poll.register(fd, events)
        self.fds[fd] = (events, for_libxl)
        return f"fd {fd}"

    def _fd_deregister(self, fd: int, for_app: Any) -> None:
        self.calls.append("fd_deregister")
        assert for_app == f"fd {fd}"
        self.poll.unregister(fd)
        del self.fds[fd]

    def _timeout_register(self, when: float, for_libxl: object) -> int:
        self.calls.append("timeout_register")
        number = next(self._numbers)
        self.timers[number] = (when, for_libxl)
        return number

    def _timeout_modify(self, for_app: int, when: float) -> None:
        self.calls.append("timeout_modify")
        self.timers[for_app] = (when, self.timers[for_app][1])

    def _timeout_deregister(self, for_app: int) -> None:
        self.calls.append("timeout_deregister")
        del self.timers[for_app]

    def occur(self, hooked: Hooked) -> None:
        """Tell that the first descriptor is ready, whether it is or not."""
        fd, (_, for_libxl) = next(iter(self.fds.items()))
        hooked.fd_occurred(for_libxl, fd)

    def turn(self, ctx: LibxlCtx) -> None:
        """Wait for something to occur and tell it."""
        self.turns += 1
        first = min((when for when, _ in self.timers.values()), default=math.inf)
        left = None if first == math.inf else max(0.0, first - time.monotonic()) * 1000
        for fd, revents in self.poll.poll(left):
            events, for_libxl = self.fds[fd]
            libxl_osevent_occurred_fd(ctx, for_libxl, fd, events, revents)
        for number, (when, for_libxl) in list(self.timers.items()):
            if when <= time.monotonic() and self.timers.pop(number, None):
                libxl_osevent_occurred_timeout(ctx, for_libxl)

    def run(self, ctx: LibxlCtx, until: Callable[[], object]) -> None:
        while not until():
            self.turn(ctx)
