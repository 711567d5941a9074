"""What asyncio lacks: work beside the loop, ends waited for, the first change."""

import asyncio
import concurrent.futures.thread  # noqa: F401 - now: asyncio.to_thread has it late
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar

from libxlpy.errors import BackendError, reason_of

#: Name of the threads.
ASIDE = "libxlpy aside"

#: Seconds after which one looks again even if no change was told.
LOOK_AGAIN = 1.0

#: Descriptors of an event loop: its epoll, and the two ends that wake it.
LOOP_FDS = 3

ValueT = TypeVar("ValueT")


def check_room_for_loop() -> None:
    """See that an event loop can be made: one that is made by half is loud.

    Raises:
        BackendError: There may be no more descriptors.
    """
    fds: list[int] = []
    try:
        for _ in range(LOOP_FDS):
            fds.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as exc:
        raise BackendError(f"can't begin: {reason_of(exc)}") from exc
    finally:
        for fd in fds:
            os.close(fd)


async def aside(work: Callable[[], ValueT], seconds: float | None) -> ValueT:
    """Do some work in a thread of its own.

    Unlike ``asyncio.to_thread``: a thread that hangs takes no place in a pool, and
    keeps neither the loop nor the program from ending.

    Args:
        work: Blocks; not waited for when this is cancelled.
        seconds: How long it is waited for; None for as long as it takes.

    Raises:
        TimeoutError: It takes longer.
        BackendError: No thread can be started.
        Exception: Whatever ``work`` raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ValueT] = loop.create_future()

    def tell(value: ValueT | None, error: Exception | None) -> None:
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

    start_thread(threading.Thread(target=run, name=ASIDE, daemon=True))
    async with asyncio.timeout(seconds):
        return await done


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        BackendError: There may be no more of them.
    """
    try:
        thread.start()
    except RuntimeError as exc:
        text = f"{exc}: there are too many (ulimit -u, or the cgroup's pids.max)"
        raise BackendError(text) from exc


async def finish(task: asyncio.Task[None]) -> None:
    """Wait for ``task`` however often we are cancelled, then pass that on."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            cancelled = exc
    task.result()
    if cancelled is not None:
        raise cancelled


class Begun(Generic[ValueT]):
    """A coroutine whose first step was done here and now, by the current task.

    Awaited, it goes on from there; by then one may have seen whether it waits at all.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, ValueT]) -> None:
        """Do the first step.

        Raises:
            Exception: Whatever it raises.
        """
        self._coroutine = coroutine
        #: Whether it has not ended yet.
        self.waits = True
        self._waits_for: Any = None
        self._value: ValueT
        self._step(coroutine.send, None)

    def __await__(self) -> Generator[Any, Any, ValueT]:
        """Do the other steps; give what it returns."""
        while self.waits:
            try:
                sent = yield self._waits_for
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as exc:  # goes to what waits
                self._step(self._coroutine.throw, exc)
            else:
                self._step(self._coroutine.send, sent)
        return self._value

    def _step(self, resume: Callable[[Any], Any], argument: object) -> None:
        try:
            self._waits_for = resume(argument)
        except StopIteration as end:
            self.waits = False
            self._value = end.value


def begin(coroutine: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
    """Make a task; its first step is done at once, where Python can (3.12).

    A coroutine that waits for nothing has ended by then, and the loop took no turn.
    """
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
        return asyncio.Task(coroutine, loop=loop, name=name, eager_start=True)
    return loop.create_task(coroutine, name=name)


class Changing(Protocol):
    """What can be waited for: a watch, a bell."""

    async def changed(self) -> object:
        """Wait for the next change."""
        ...


async def first_change(*watches: Changing, seconds: float = LOOK_AGAIN) -> None:
    """Wait until one of some watches fires, or for so long.

    Raises:
        XenstoreError: The connection is lost.
    """
    tasks = {asyncio.create_task(watch.changed()) for watch in watches}
    try:
        done, _ = await asyncio.wait(
            tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Bell:
    """Rung by whoever has news for the one who waits."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the one who waits, or who will."""
        self._rung.set()

    async def changed(self) -> None:
        """Wait for the next time, as for a change in xenstore."""
        await self._rung.wait()
        self._rung.clear()
