"""A wait that a cancel ends."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from libxlpy.errors import Cancelled

Value = TypeVar("Value")


class Interruptible:
    """Waits of one job, one at a time; once cancelled none is waited for."""

    def __init__(self) -> None:
        self._task: asyncio.Future[Any] | None = None
        self._reason = ""

    def cancel(self, reason: str) -> None:
        """End the wait, and those to come."""
        self._reason = reason or "cancelled"
        if self._task is not None:
            self._task.cancel()

    async def wait(self, work: Awaitable[Value]) -> Value:
        """Wait for some work; give what it gives.

        Raises:
            Cancelled: By :meth:`cancel`; the work has stopped.
            Exception: Whatever the work raises.
        """
        self._task = task = asyncio.ensure_future(work)
        try:
            if not self._reason:
                await asyncio.wait({task})
            if self._reason and not (task.done() and not task.cancelled()):
                raise Cancelled(self._reason)
            return task.result()
        finally:
            self._task = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
