"""A save file handled beside the event loop; no disk is waited for without an end."""

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from libxlpy.aio import aside, finish
from libxlpy.errors import BackendError
from libxlpy.save_file.errors import SaveFileError

#: Seconds for a disk to open the target and take the header, to close it.
ANSWER_WITHIN = 30.0
#: Seconds for what is opened still when nobody wants it any more.
LEAVE_WITHIN = 3.0

Value = TypeVar("Value")


class Closable(Protocol):
    """What is opened."""

    def close(self) -> None:
        """Close it, and remove what is not to stay."""
        ...


Opened = TypeVar("Opened", bound=Closable)


async def bounded(path: Path, work: Callable[[], Value], seconds: float) -> Value:
    """Do what waits for a disk.

    Args:
        path: Of the file, as the caller named it.
        work: Blocks.
        seconds: How long it is waited for; it is not stopped then.

    Raises:
        SaveFileError: It takes longer, or no thread can be started for it.
    """
    try:
        return await aside(work, seconds)
    except TimeoutError as exc:
        text = f"its disk did not answer in {seconds:g} s"
        raise SaveFileError(path, text, errno.ETIMEDOUT) from exc
    except BackendError as exc:
        raise SaveFileError(path, str(exc)) from exc


async def closed(path: Path, file: Closable) -> None:
    """Close a file; in the loop, if no thread may be started for it.

    What would be left otherwise has a guest's memory in it.

    Raises:
        SaveFileError: Its disk does not answer; or closing it has raised it.
    """
    try:
        await bounded(path, file.close, ANSWER_WITHIN)
    except SaveFileError as exc:
        if not isinstance(exc.__cause__, BackendError):
            raise
        file.close()


async def opened(path: Path, opening: Callable[[], Opened]) -> Opened:
    """Open a file; should nobody want it any more, it goes once it is there.

    Raises:
        SaveFileError: As of :func:`bounded`; or ``opening`` has raised it.
    """
    lock, unwanted = threading.Lock(), threading.Event()
    made: list[Opened] = []

    def work() -> None:
        file = opening()
        with lock:
            if not unwanted.is_set():
                made.append(file)
                return
        file.close()

    async def leave(task: asyncio.Task[None]) -> None:
        await asyncio.wait([task], timeout=LEAVE_WITHIN)
        with lock:
            unwanted.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for file in made:
            with contextlib.suppress(SaveFileError):
                await closed(path, file)

    task = asyncio.create_task(bounded(path, work, ANSWER_WITHIN))
    try:
        await asyncio.shield(task)
    except BaseException:
        await finish(asyncio.create_task(leave(task)))
        raise
    return made[0]
