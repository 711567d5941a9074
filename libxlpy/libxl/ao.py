"""One asynchronous operation: refused at once, or completed exactly once.

An operation has two parts. The first finds out whether it can be done; its failure is
what the initiating call returns, and nothing else happens. The second does it; its end
is told as the caller asked for. Completion is told by whoever comes second, the loop
with the end or the initiating call with its return, so never before that call is done.

Xen: tools/libs/light/libxl_event.c, "Manipulation of asynchronous operations".
"""

import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from libxlpy.context import Context
from libxlpy.errors import UsageError
from libxlpy.jobs.job import Job
from libxlpy.jobs.watchers import heard
from libxlpy.libxl.codes import rc_of
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.fields import brief, one_line
from libxlpy_protocol.value import Value

#: What an initiating call returns once the operation is under way.
AO_INPROGRESS = 0
#: Initiating call and operation: both are through before completion is told.
PARTS = 2

logger = logging.getLogger("libxlpy.libxl")

#: Called with the ctx, the return code, ``for_callback``.
Callback = Callable[[Any, int, Any], None]
#: Checks and begins; gives what is then awaited.
Begin = Callable[[Context], Awaitable[Awaitable[Any]]]
#: Takes the result of an operation that went well.
Done = Callable[[Any], object]


class AsyncopHow(Value):
    """How completion is told; where libxl takes NULL, None: wait and return it.

    With ``callback`` it is called, else an event with ``for_event`` waits.
    """

    callback: Callback | None = None
    for_callback: object = None
    for_event: int = 0

    def __post_init__(self) -> None:
        """Refuse what could not be told apart.

        Raises:
            UsageError: It asks for both or has a callback that can't be called.
        """
        if self.callback is None:
            if self.for_callback is not None:
                raise UsageError("for_callback without a callback: give both")
        elif not callable(self.callback):
            raise UsageError(f"callback can't be called: {brief(self.callback)}")
        elif self.for_event:
            raise UsageError("callback and for_event: choose one")

    def same(self, other: "AsyncopHow") -> bool:
        """Tell whether both mean one operation, as ``libxl_ao_abort`` compares."""
        return (
            self.callback == other.callback
            and self.for_callback is other.for_callback
            and self.for_event == other.for_event
        )


class Ao:
    """One operation of a ctx."""

    def __init__(
        self,
        what: str,
        domid: int,
        how: AsyncopHow | None,
        tell: Callable[["Ao"], None],
    ) -> None:
        # ----- set by the caller -----
        self.what = what
        self.domid = domid
        self.how = how
        # ----- results -----
        #: AO_INPROGRESS, or why it was refused.
        self.started: Future[int] = Future()
        self.ended: Future[int] = Future()
        self.rc = 0
        #: Result or error.
        self.outcome: Any = None
        self.abort_requested = False
        #: Nobody waits for the end any more, nor will be told.
        self.disowned = False
        # ----- private -----
        self._tell = tell
        self._job: Job[Any] | None = None
        self._lock = threading.Lock()
        self._missing = PARTS

    # ----- in the loop ------------------------------------------------------------

    async def run(self, context: Context, begin: Begin, done: Done) -> None:
        """Do both parts; results are in ``rc`` and ``outcome``."""
        try:
            work = await begin(context)
            if isinstance(work, Job):
                self._job = work
            if self.abort_requested:
                self.abort()
            self.started.set_result(AO_INPROGRESS)
            if self._job is not None and await self._unclaimed(self._job):
                await self._job.close()  # undoes a success that nobody hears of
            self.outcome = await work
            done(self.outcome)
        except BaseException as exc:  # the boundary: whatever it is, it is told
            self._failed(exc)

    async def _unclaimed(self, job: Job[Any]) -> bool:
        await job.ended()
        return self.disowned

    def _failed(self, error: BaseException) -> None:
        self.outcome, self.rc = error, rc_of(error)
        defect = not isinstance(error, LibxlpyError)
        extra = {"domid": self.domid}
        if heard(logger, logging.ERROR):
            said = error if defect else None
            logger.error(
                "%s: %s", self.what, one_line(str(error)), exc_info=said, extra=extra
            )

    def abort(self) -> None:
        """Abort what can be aborted; a resume, pause, destroy goes to its end."""
        self.abort_requested = True
        if self._job is not None:
            self._job.request_cancel("libxl_ao_abort")

    def complete(self) -> None:
        """Let everybody know that it has ended."""
        refused = not self.started.done()
        if refused:
            self.started.set_result(self.rc)
        self.ended.set_result(self.rc)
        if not refused:
            self._pass()

    def disown(self) -> None:
        """Abort it; a success that comes all the same is undone."""
        self.disowned = True
        self.abort()

    # ----- in the initiating call -------------------------------------------------

    def release(self) -> None:
        """Let completion be told: the initiating call is done."""
        self._pass()

    def _pass(self) -> None:
        with self._lock:
            self._missing -= 1
            last = not self._missing
        if last:
            self._tell(self)
