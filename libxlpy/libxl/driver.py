"""Where a ctx's event loop runs, as the rest of the ctx sees it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Driver(ABC):
    """Runs the loop: a thread of its own, or the program's loop through hooks."""

    #: Belongs to the driver; runs in one thread only, as a helper dies with the
    #: thread that has spawned it.
    loop: asyncio.SelectorEventLoop

    def submit(self, function: Callable[[], object]) -> None:
        """Have a function called in the loop, from any thread."""
        self.loop.call_soon_threadsafe(function)

    @abstractmethod
    def wait(self, future: "Future[T]") -> T:
        """Block until a future is done; the loop goes on meanwhile.

        Raises:
            UsageError: The loop can't go on while this thread waits.
        """

    @abstractmethod
    def tell(self, call: Callable[[], None]) -> None:
        """Have a callback made where callbacks are made, in order."""

    @abstractmethod
    def check_free(self) -> None:
        """Refuse to be closed from here.

        Raises:
            UsageError: Another thread must do it.
        """

    @abstractmethod
    def close(self) -> None:
        """Make the last callbacks and end; the loop has nothing to do any more."""
