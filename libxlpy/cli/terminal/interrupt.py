"""Ctrl-C and SIGTERM in an event loop: the first one ends the command in order.

A job under way is cancelled through the API, which stops the helper and puts the guest
back within its deadlines; anything else is cancelled as a task. Later signals are
patient. Once a save is whole, its last steps are finished whatever comes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from libxlpy import Context
from libxlpy.aio import check_room_for_loop
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.signals import Interrupted, Signals
from libxlpy.cli.terminal.waiting import HYPERVISOR, told_if_long

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

    def __init__(self, task: asyncio.Task[object], signals: Signals) -> None:
        self.signum: int | None = None
        self._task = task
        self._signals = signals
        self._job: Cancellable | None = None
        self._cancelling: asyncio.Task[object] | None = None

    def take(self, signum: int) -> None:
        """Act on a signal."""
        if self._signals.settled:
            self._signals.come_late(signum)
        elif self.signum is None:  # else clean-up is under way and bounded
            self.signum = signum
            self._act()

    def settle(self) -> None:
        """From here on a signal comes too late: what is left to do must all be done."""
        self._signals.settle()
        if self.signum is not None:
            self._signals.come_late(self.signum)

    @contextmanager
    def cancels(self, job: Cancellable) -> Iterator[None]:
        """Meanwhile a signal cancels ``job``, whose outcome tells the rest."""
        self._job = job
        try:
            yield
        finally:
            self._job = None

    def failure(self, line: str) -> Exception:
        """Give how a job's failure is told: as what a signal did, if one came."""
        if self.signum is None:
            return CommandFailed(line)
        return Interrupted(self.signum, line)

    def _act(self) -> None:
        if self._job is None:
            self._task.cancel()
        else:
            self._cancelling = asyncio.ensure_future(self._cancel(self._job))

    @staticmethod
    async def _cancel(job: Cancellable) -> None:
        await job.cancel()


def run(signals: Signals, work: Callable[[Interrupt], Awaitable[Answer]]) -> Answer:
    """Run the asynchronous part of a command.

    Raises:
        Interrupted: A signal ended it.
    """
    check_room_for_loop()
    return asyncio.run(_run(signals, work))


def ask(
    settings: Settings,
    question: Callable[[Context], Awaitable[Answer]],
    what: str = HYPERVISOR,
) -> Answer:
    """Run the asynchronous part of a command that asks a context, and no more.

    Args:
        settings: Which hypervisor, and where to print.
        question: Asks it.
        what: Is waited for, said if it takes long.

    Raises:
        Interrupted: A signal ended it.
    """

    async def work(_interrupt: Interrupt) -> Answer:
        async with Context(settings.backend, settings.host) as ctx:
            with told_if_long(settings.out, what):
                return await question(ctx)

    return run(settings.signals, work)


async def _run(
    signals: Signals, work: Callable[[Interrupt], Awaitable[Answer]]
) -> Answer:
    task = asyncio.current_task()
    assert task is not None
    interrupt = Interrupt(task, signals)
    loop = asyncio.get_running_loop()
    # Not `add_signal_handler`: while the loop is closed, it leaves the signals to the
    # kernel, which ends the process without a word.
    with signals.taken_by(lambda n: loop.call_soon_threadsafe(interrupt.take, n)):
        try:
            return await work(interrupt)
        except BaseException as exc:
            signals.settle()  # this is the last word, also while the loop is closed
            if interrupt.signum is None or not isinstance(exc, asyncio.CancelledError):
                raise
            raise Interrupted(interrupt.signum) from None
