"""A loop in a thread of its own, for programs that have no event loop.

Two threads for each ctx: one runs the loop and lives as long as the ctx, for a helper
dies with the thread that has spawned it. The other makes the callbacks, one at a time:
they may block and may call libxl_* functions, synchronous ones too. Both are daemons:
a program that ends without ``libxl_ctx_free`` is not held up; its helpers notice.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from libxlpy.aio import check_room_for_loop, start_thread
from libxlpy.errors import UsageError
from libxlpy.libxl.driver import Driver, T


class OwnThread(Driver):
    """Drives a loop by a thread."""

    def __init__(self) -> None:
        """Start both threads.

        Raises:
            BackendError: There may be no more of them, or of descriptors.
        """
        check_room_for_loop()
        self.loop = asyncio.SelectorEventLoop()
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        try:
            self._caller = self._thread("callbacks", self._call)
            self._runner = self._thread("loop", self.loop.run_forever)
        except BaseException:
            self._calls.put(None)
            self.loop.close()
            raise

    @staticmethod
    def _thread(name: str, target: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"libxlpy {name}", daemon=True)
        start_thread(thread)
        return thread

    def wait(self, future: "Future[T]") -> T:
        """Block until a future is done.

        Raises:
            UsageError: Called by the loop itself, which would wait for ever.
        """
        if threading.current_thread() is self._runner:
            raise UsageError("libxl_* functions can't be called from the loop's thread")
        return future.result()

    def tell(self, call: Callable[[], None]) -> None:
        """Have the callbacks' thread make a callback."""
        self._calls.put(call)

    def _call(self) -> None:
        while (call := self._calls.get()) is not None:
            with contextlib.suppress(SystemExit):  # ends a thread: not this one
                call()

    def check_free(self) -> None:
        """Any thread may free, even from a callback."""

    def close(self) -> None:
        """End both threads; a callback that frees its ctx ends later than this."""
        self._calls.put(None)
        if threading.current_thread() is not self._caller:
            self._caller.join()
        self.submit(self.loop.stop)
        self._runner.join()
        self.loop.close()
