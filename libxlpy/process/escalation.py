"""How a helper is made to go: ask, abort, SIGTERM, SIGKILL, give up.

Each step has its time; the next one follows if the helper is still there. Steps are
only climbed, never descended.
"""

import asyncio
import enum
import signal
from collections.abc import Callable

from libxlpy.deadlines import Deadlines
from libxlpy.process.helper import ExitStatus, HelperProcess


class Step(enum.IntEnum):
    """How hard the helper is pressed to leave."""

    #: Not at all: it has work to do.
    WORK = 0
    #: A callback failed: libxenguest cleans up and ends by itself.
    FAILING = 1
    #: Complete was read or the pipe is closed: it is about to exit.
    LEAVE = 2
    #: The abort message was sent.
    ABORT = 3
    #: SIGTERM was sent.
    TERM = 4
    #: SIGKILL was sent.
    KILL = 5
    #: Not even SIGKILL helped: it is stuck in the kernel.
    STUCK = 6


#: Step -> (deadline that bounds it, the step after it).
STEPS: dict[Step, tuple[str, Step]] = {
    Step.FAILING: ("abort_grace", Step.ABORT),
    Step.LEAVE: ("exit_after_complete", Step.KILL),
    Step.ABORT: ("abort_grace", Step.TERM),
    Step.TERM: ("term_grace", Step.KILL),
    Step.KILL: ("kill_grace", Step.STUCK),
}


class Escalation:
    """Press one helper to leave and wait until it has."""

    def __init__(
        self,
        process: HelperProcess,
        deadlines: Deadlines,
        *,
        abort: Callable[[], None],
        climbed: Callable[[Step, str], None],
    ) -> None:
        """Watch a helper; nothing is done to it until :meth:`demand`.

        Args:
            process: The helper.
            deadlines: How long each step lasts.
            abort: Sends the abort message, if there is still a channel for it.
            climbed: Called with the new step and the name of the deadline that passed.
        """
        self.step = Step.WORK
        self._process = process
        self._deadlines = deadlines
        self._abort = abort
        self._climbed = climbed
        self._changed = asyncio.Event()

    def demand(self, step: Step) -> None:
        """Climb to a step at least; a lower one changes nothing."""
        if step <= self.step:
            return
        self.step = step
        self._changed.set()
        match step:
            case Step.ABORT:
                self._abort()
            case Step.TERM:
                self._process.signal(signal.SIGTERM)
            case Step.KILL:
                self._process.signal(signal.SIGKILL)

    async def run(self) -> ExitStatus | None:
        """Wait until the helper is dead; None if it is stuck. May be called again."""
        while self._process.exit is None and self.step is not Step.STUCK:
            self._changed.clear()
            bound, after = STEPS.get(self.step, ("", Step.WORK))
            seconds = getattr(self._deadlines, bound) if bound else None
            try:
                async with asyncio.timeout(seconds):
                    await self._dead_or_changed()
            except TimeoutError:
                self._climbed(after, bound)
                self.demand(after)
        return self._process.exit

    async def _dead_or_changed(self) -> None:
        waits = {
            asyncio.create_task(self._process.wait()),
            asyncio.create_task(self._changed.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
