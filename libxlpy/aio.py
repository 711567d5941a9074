"""Do what may block beside the event loop, and wait for it no longer than said."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

#: Name of the threads.
ASIDE = "libxlpy aside"

Value = TypeVar("Value")


async def aside(work: Callable[[], Value], seconds: float) -> Value:
    """Do some work in a thread of its own.

    Unlike ``asyncio.to_thread``: a thread that hangs takes no place in a pool, and
    keeps neither the loop nor the program from ending.

    Args:
        work: Blocks; not waited for when this is cancelled.
        seconds: How long it is waited for.

    Raises:
        TimeoutError: It takes longer.
        Exception: Whatever ``work`` raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Value] = loop.create_future()

    def tell(value: Value | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except Exception as exc:  # goes to whoever waits
            error = exc
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, value, error)

    threading.Thread(target=run, name=ASIDE, daemon=True).start()
    async with asyncio.timeout(seconds):
        return await done
