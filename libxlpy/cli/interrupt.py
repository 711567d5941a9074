"""Ctrl-C and SIGTERM: the first one ends the command in order, later ones are patient.

A job under way is cancelled through the API, which stops the helper and puts the guest
back within its deadlines; anything else is cancelled as a task. Once a save is whole,
its last steps are finished whatever comes.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from libxlpy.cli.outcome import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
Answer = TypeVar("Answer")


class Cancellable(Protocol):
    """What a job offers for it."""

    async def cancel(self) -> object:
        """Stop the job and wait until it has stopped."""
        ...


class Interrupt:
    """The signals of one command.

    Attributes:
        signum: The signal that came first; None until one comes.
    """

    def __init__(self, task: asyncio.Task[object]) -> None:
        self.signum: int | None = None
        self._task = task
        self._job: Cancellable | None = None
        self._cancelling: asyncio.Task[object] | None = None
        self._held = False

    def take(self, signum: int) -> None:
        """Act on a signal."""
        if self.signum is not None:
            return  # clean-up is under way and bounded
        self.signum = signum
        if self._held:
            return
        if self._job is None:
            self._task.cancel()
        else:
            self._cancelling = asyncio.ensure_future(self._cancel(self._job))

    @contextmanager
    def cancels(self, job: Cancellable) -> Iterator[None]:
        """Meanwhile a signal cancels ``job``, whose outcome tells the rest."""
        self._job = job
        try:
            yield
        finally:
            self._job = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile a signal waits: these steps are short and must all be done."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    @staticmethod
    async def _cancel(job: Cancellable) -> None:
        await job.cancel()


def run(work: Callable[[Interrupt], Awaitable[Answer]]) -> Answer:
    """Run the asynchronous part of a command.

    Raises:
        Interrupted: A signal ended it.
    """
    return asyncio.run(_run(work))


async def _run(work: Callable[[Interrupt], Awaitable[Answer]]) -> Answer:
    task = asyncio.current_task()
    assert task is not None
    interrupt = Interrupt(task)
    loop = asyncio.get_running_loop()
    for signum in SIGNALS:
        loop.add_signal_handler(signum, interrupt.take, signum)
    try:
        return await work(interrupt)
    except asyncio.CancelledError:
        if interrupt.signum is None:
            raise
        raise Interrupted(interrupt.signum) from None
