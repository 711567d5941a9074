"""Inside a foreign event loop, through registration hooks as libxl's osevent.

The foreign loop watches one descriptor and one timeout for us. The descriptor is our
selector's own epoll descriptor: it is readable when anything that we wait for is ready.
Whenever either occurs, :class:`Hooked` runs our loop until it would block, and
re-registers the timeout for the moment until which it would have.

Xen: tools/include/libxl_event.h, libxl_osevent_hooks.
"""

import asyncio
import math
import select
import selectors
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from libxlpy.errors import UsageError
from libxlpy.libxl.driver import Driver, T
from libxlpy.libxl.interrupts import interrupt_held
from libxlpy_protocol.value import Value

#: Rounds of our loop in one go, lest the foreign loop starves.
ROUNDS = 64


class OSEventHooks(Value):
    """What the foreign loop does for us; all called in the thread of the ctx.

    Libxl's ``fd_modify`` has no counterpart: the one descriptor is always for reading.
    ``for_libxl`` goes back to ``libxl_osevent_occurred_*``; what a ``register`` returns
    is given to ``modify`` and ``deregister``.
    """

    #: (fd, events, for_libxl): watch it, level-triggered; events is ``POLLIN``.
    fd_register: Callable[[int, int, object], Any]
    #: (fd, for_app)
    fd_deregister: Callable[[int, Any], object]
    #: (when, for_libxl): ``time.monotonic()`` at which to occur, once.
    timeout_register: Callable[[float, object], Any]
    #: (for_app, when)
    timeout_modify: Callable[[Any, float], object]
    #: (for_app)
    timeout_deregister: Callable[[Any], object]


class TurningSelector(selectors.EpollSelector):
    """A selector that, when told so, stops its loop where it would block."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: asyncio.SelectorEventLoop | None = None
        #: Rounds that may still be made; 0: block as usual.
        self._rounds = 0
        self._until = math.inf

    def turn(self) -> float:
        """Run the loop until it would block; give until when it would, monotonic."""
        assert self.loop is not None
        self._rounds = ROUNDS
        try:
            self.loop.run_forever()
        finally:
            self._rounds = 0
        return self._until

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what is ready; wait for it unless in a turn."""
        if not self._rounds:
            return super().select(timeout)
        assert self.loop is not None
        ready = super().select(0)
        self._rounds -= 1
        if ready or timeout == 0:
            self._until = self.loop.time()  # there is more to do
        elif timeout is None:
            self._until = math.inf
        else:
            self._until = self.loop.time() + timeout
        if self._until > self.loop.time() or not self._rounds:
            self._rounds = 1  # whatever comes, this round is the last
            self.loop.stop()
        return ready


class Hooked(Driver):
    """Drives a loop by a foreign one."""

    def __init__(self, hooks: OSEventHooks) -> None:
        """Register the descriptor.

        Raises:
            UsageError: This thread runs an asyncio loop, which needs no hooks.
        """
        _check_no_asyncio()
        self._hooks = hooks
        self._owner = threading.current_thread()
        self._selector = TurningSelector()
        self.loop = self._selector.loop = asyncio.SelectorEventLoop(self._selector)
        self._calls: deque[Callable[[], None]] = deque()
        #: The timeout that is registered: our token, the application's, when.
        self._timeout: tuple[object, Any, float] | None = None
        fd = self._selector.fileno()
        try:
            self._for_app = hooks.fd_register(fd, select.POLLIN, self)
        except BaseException:
            self.loop.close()
            raise

    # ----- when something has occurred --------------------------------------------

    def fd_occurred(self, for_libxl: object, fd: int) -> None:
        """Take what the foreign loop saw."""
        if for_libxl is self and fd == self._selector.fileno():
            self._occurred()

    def timeout_occurred(self, for_libxl: object) -> None:
        """Take it that a timeout passed; one that is no more does nothing."""
        if self._timeout is not None and for_libxl is self._timeout[0]:
            self._timeout = None  # it occurs once
            self._occurred()

    def _occurred(self) -> None:
        self._check_thread("libxl_osevent_occurred_*")
        self._turn()
        self._make_calls()

    def _turn(self) -> None:
        with interrupt_held():
            self._set_timeout(self._selector.turn())

    def _set_timeout(self, when: float) -> None:
        hooks = self._hooks
        if self._timeout is None:
            if when != math.inf:
                token = object()
                self._timeout = (token, hooks.timeout_register(when, token), when)
            return
        token, for_app, before = self._timeout
        if when == math.inf:
            self._timeout = None
            hooks.timeout_deregister(for_app)
        elif when != before:
            self._timeout = (token, for_app, when)
            hooks.timeout_modify(for_app, when)

    def _make_calls(self) -> None:
        try:
            while self._calls:
                self._calls.popleft()()
        finally:
            self._wake()  # one that ends the program leaves the others for later

    def _wake(self) -> None:
        """If callbacks wait, have something occur."""
        if self._calls and not self.loop.is_closed():
            self.submit(lambda: None)

    # ----- for the ctx ------------------------------------------------------------

    def wait(self, future: "Future[T]") -> T:
        """Block until a future is done; here that means to run the loop."""
        if threading.current_thread() is not self._owner:
            return future.result()  # the thread of the ctx runs the loop
        try:
            self._run_until(future)
        finally:
            self._turn()
            self._wake()  # what would have was seen by this wait
        return future.result()

    def _run_until(self, future: "Future[T]") -> None:
        done = asyncio.wrap_future(future, loop=self.loop)
        stop = self.loop.create_future()
        ends = asyncio.wait((done, stop), return_when=asyncio.FIRST_COMPLETED)
        with interrupt_held(lambda: self.loop.call_soon_threadsafe(stop.cancel)):
            self.loop.run_until_complete(ends)

    def tell(self, call: Callable[[], None]) -> None:
        """Have a callback made the next time that something occurs: now."""
        self._calls.append(call)
        self._wake()

    def _check_thread(self, what: str) -> None:
        if threading.current_thread() is not self._owner:
            raise UsageError(f"{what}: only in the thread that made the ctx")

    def check_free(self) -> None:
        """Refuse a thread that is not the loop's.

        Raises:
            UsageError: It is not.
        """
        self._check_thread("libxl_ctx_free")

    def close(self) -> None:
        """Deregister everything and make the last callbacks."""
        self._set_timeout(math.inf)
        self._hooks.fd_deregister(self._selector.fileno(), self._for_app)
        self.loop.close()
        self._make_calls()


def _check_no_asyncio() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return  # as it should be: there is none
    raise UsageError("inside asyncio: use libxlpy.Context instead of hooks")
