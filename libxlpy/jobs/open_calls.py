"""Answer the helper's calls: each is a task that the job owns, bounded and cancelled.

The one place where an exception of a caller's callback is caught.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

from libxlpy.errors import CallbackFailed, Cancelled, JobError, TimedOut, XenError
from libxlpy.jobs.operation import Operation, Run
from libxlpy.process.link import Link
from libxlpy_protocol.messages import Answer, CallMessage, Message, PrecopyPolicy
from libxlpy_protocol.session import Event
from libxlpy_protocol.table import MESSAGES, failure_answer


class OpenCalls:
    """The calls of one helper in one job."""

    def __init__(
        self,
        operation: Operation[Any],
        run: Run,
        *,
        failed: Callable[[JobError], None],
        defect: Callable[[Exception], None],
    ) -> None:
        """Start with none.

        Args:
            operation: Answers them.
            run: The job.
            failed: Told why a call could not be answered, just before the helper is.
            defect: Told what nothing should have raised.
        """
        self._operation = operation
        self._run = run
        self._failed = failed
        self._defect = defect
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._stopped = False
        #: What the last callback that ended the job with its answer stands for.
        self._refused: JobError | None = None

    def blamed(self, failure: JobError) -> JobError:
        """Give what a failed verdict is due to: itself, or what a callback answered."""
        if isinstance(failure, XenError) and self._refused is not None:
            return self._refused
        return failure

    @property
    def active(self) -> bool:
        """Tell whether a call waits for its answer."""
        return bool(self._tasks)

    def runs_here(self) -> bool:
        """Tell whether the current task is one of these calls."""
        return asyncio.current_task() in self._tasks

    def begin(self, event: Event, link: Link) -> None:
        """Start to work on a call; the answer is sent from its task."""
        if self._stopped:
            return
        name = xen_name(type(event.message))
        task = asyncio.create_task(self._answer(event, link), name=f"libxlpy {name}")
        self._tasks[task] = name
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._defect(error)  # the helper has no answer

    async def _answer(self, event: Event, link: Link) -> None:
        call = cast(CallMessage, event.message)
        error = await self._try(call, event.call_id, link)
        if error is not None and link.pump.ended:
            # A consequence, if anything: the helper's end is what the job fails of.
            self._run.record.later.append(str(error))
        elif error is not None:
            # Libxenguest's own error path does its clean-up, then it completes.
            self._failed(error)
            link.send(failure_answer(type(call)), event.call_id)

    async def _try(
        self, call: CallMessage, call_id: int, link: Link
    ) -> JobError | None:
        """Do what is asked and send the answer; give what went wrong instead."""
        name = xen_name(type(call))
        began = time.monotonic()
        bounds = self._operation.deadlines.per_callback
        seconds = bounds.get(name, self._operation.limit(call))
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                value = await self._operation.answer(call, self._run)
            link.pump.send(Answer(value), call_id)
            if Answer(value) == failure_answer(type(call)):
                self._refused = refusal(call, value)
        except JobError as exc:
            return exc
        except asyncio.CancelledError as exc:
            if self._stopped:
                raise  # the job ends: nobody waits for this answer
            return CallbackFailed(name, exc)
        except TimeoutError as exc:
            if seconds is not None and limit.expired():
                return TimedOut(f"callback {name}", seconds)
            return CallbackFailed(name, exc)
        except Exception as exc:  # the boundary to the toolstack's own code
            return CallbackFailed(name, exc)
        finally:
            took = time.monotonic() - began
            self._run.record.meter.answered(name, took)
        return None

    def stop(self) -> None:
        """Cancel the calls under way and begin no more."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    async def gone(self, seconds: float) -> list[str]:
        """Wait until no call is under way.

        Returns:
            What is still there after ``seconds``: callbacks that ignore cancellation.
        """
        self.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        return [f"callback {name} can't be stopped" for name in self._tasks.values()]


def refusal(call: CallMessage, value: object) -> JobError:
    """Give what an answer stands for that is "failed", by Xen's convention."""
    if isinstance(call, PrecopyPolicy):
        return Cancelled(f"precopy_policy chose to abort in pass {call.iteration}")
    return CallbackFailed(xen_name(type(call)), None, value)


def xen_name(call: type[Message]) -> str:
    """Give Xen's name of a callback; our own calls have ours."""
    return MESSAGES[call].mirrors or call.__name__
