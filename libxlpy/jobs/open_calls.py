"""Answer the helper's calls: each is a task that the job owns, bounded and cancelled.

Where Python can, what waits for nothing is answered before the loop goes on; and it is
given no timer anywhere.
The one place where an exception of a caller's callback is caught.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

from libxlpy.aio import Begun, begin
from libxlpy.callbacks import AnswerTo
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
        task = begin(self._run_here(event, link, name), f"libxlpy {name}")
        if not task.done():
            self._tasks[task] = name

    async def _run_here(self, event: Event, link: Link, name: str) -> None:
        """Answer a call in the current task, which is open until then."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = name  # it may have begun before anybody else could do so
        try:
            await self._answer(event, link)
        except Exception as exc:  # the helper has no answer
            self._defect(exc)
        finally:
            del self._tasks[task]

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
        try:
            answer = Answer(await self._answer_to(call, name))
            link.pump.send(answer, call_id)
            if answer.value == MESSAGES[type(call)].failure:
                self._refused = refusal(call, answer.value)
        except JobError as exc:
            return exc
        except asyncio.CancelledError as exc:
            if self._stopped:
                raise  # the job ends: nobody waits for this answer
            return CallbackFailed(name, exc)
        except Exception as exc:  # the boundary to the toolstack's own code
            return CallbackFailed(name, exc)
        finally:
            took = time.monotonic() - began
            self._run.record.meter.answered(name, took)
        return None

    async def _answer_to(self, call: CallMessage, name: str) -> AnswerTo:
        """Do what is asked, within its time, which begins now.

        Raises:
            TimedOut: It takes longer.
        """
        bounds = self._operation.deadlines.per_callback
        seconds = bounds.get(name, self._operation.limit(call))
        ends = asyncio.get_running_loop().time() + (seconds or 0)
        begun = Begun(self._operation.answer(call, self._run))
        if not begun.waits:
            return await begun
        limit = asyncio.timeout_at(None if seconds is None else ends)
        try:
            async with limit:
                return await begun
        except TimeoutError:
            if seconds is None or not limit.expired():
                raise
            raise TimedOut(f"callback {name}", seconds) from None

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
        # one that was cancelled before its first step never got to its end
        left = [name for task, name in self._tasks.items() if not task.done()]
        return [f"callback {name} can't be stopped" for name in left]


def refusal(call: CallMessage, value: object) -> JobError:
    """Give what an answer stands for that is "failed", by Xen's convention."""
    if isinstance(call, PrecopyPolicy):
        return Cancelled(f"precopy_policy chose to abort in pass {call.iteration}")
    return CallbackFailed(xen_name(type(call)), None, value)


def xen_name(call: type[Message]) -> str:
    """Give Xen's name of a callback; our own calls have ours."""
    return MESSAGES[call].mirrors or call.__name__
