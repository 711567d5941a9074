"""Run one helper of ours for one job, from spawn to the end, in order of execution.

An :class:`~libxlpy.jobs.operation.Operation` says what the job is; a :class:`JobRun`
does what all jobs have in common: conversation, callbacks, deadlines, the first
failure, the end. Join rule: the helper is gone, the callbacks have stopped and the
repair is done before the outcome is told, once.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from libxlpy.domain.repair import TRIES, ask_guest
from libxlpy.errors import (
    BackendError,
    Cancelled,
    HelperCrashed,
    JobError,
    TimedOut,
    reason_of,
)
from libxlpy.events import PhaseEvent, StallEvent, StatEvent
from libxlpy.jobs.failures import stall_of
from libxlpy.jobs.guard import Guard
from libxlpy.jobs.helper_run import HelperRun
from libxlpy.jobs.operation import Operation
from libxlpy.jobs.precopy import Precopy
from libxlpy.jobs.record import Record
from libxlpy.jobs.stall import StallAction, StallWatch
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.journal.identity import Identity
from libxlpy.process.escalation import Step
from libxlpy.process.helper import HelperProcess, start_process
from libxlpy.process.link import HelperLink
from libxlpy.results.report import ImageState, Settled
from libxlpy_protocol.messages import (
    Complete,
    Log,
    Phase,
    Progress,
    Release,
    RestoreResults,
    Stat,
    StopAndCopy,
)
from libxlpy_protocol.session import Event
from libxlpy_protocol.states import State

#: What is told of a helper in place of its end.
GUARDS = "stays until the guest is resumed or destroyed"
#: Writes facts of a job to its journal.
Note = Callable[[dict[str, Any]], None]


class JobRun(HelperRun[HelperLink]):
    """One helper at work on one operation."""

    hopeless = frozenset({"hello", "heartbeat"})

    def __init__(
        self, operation: Operation[Any], stream: StreamFd, note: Note | None = None
    ) -> None:
        """Begin with nothing done.

        Args:
            operation: What to do.
            stream: Checked stream, closed at the end.
            note: Writes down how far it is; None for a job that is not written down.
        """
        super().__init__(operation, self, Record())
        # ----- results -----
        self.settled = Settled()
        self.stall = StallWatch(operation.stall, self.guarded(self._stalled))
        self.precopy = Precopy(
            operation.policy, self.record, self.enter, self.deadlines.total
        )
        #: The helper was given its job: the guest may be touched.
        self.started = False
        #: The helper, if it looks after the guest from here on.
        self.guard: Guard | None = None
        # ----- private -----
        self._stream = stream
        self._note = note
        #: Why the journal is no longer written.
        self._unwritten = ""
        self._guest_waits = False
        self._stays = asyncio.Event()
        self._check: asyncio.Task[None] | None = None
        self._helpers: list[Identity] = []
        operation.guest.changed = self._write_down

    async def run(self) -> None:
        """Do the whole job; the outcome is in ``failure`` and ``record``."""
        try:
            await self._work()
        except asyncio.CancelledError:
            if not self._stream.is_ours:
                raise
            # The loop is shut down under us: the helper must still go, bounded.
            self.fail(Cancelled("the event loop is shutting down"), Step.ABORT)
            await self._helper_gone()
        except BackendError as exc:
            self.fail(HelperCrashed(how=str(exc)))
        except Exception as exc:  # the boundary to the caller, who is told
            self.defect(exc)
            await self._helper_gone()
        finally:
            if self._stream.is_ours:  # else we are a child, and the job our parent's
                await self._settle()

    # ----- the conversation -------------------------------------------------------

    async def _work(self) -> None:
        deadlines = self.deadlines
        if self.failure is not None:
            return  # cancelled before anything was done
        self._watchdog.arm("total", deadlines.total)
        if self.operation.access == "read" and not await self._check_stream():
            return
        self.enter("spawn")
        inherited = [self._stream.fd, *self.operation.inherited()]
        try:
            process = await start_process(
                self.operation.argv(), inherited, deadlines.spawn
            )
        except TimeoutError:
            self.fail(TimedOut("spawn", deadlines.spawn))
            return
        self.link = HelperLink(
            process,
            deadlines,
            observer=self.operation.env.observer,
            on_event=self._event,
            climbed=self.guarded(self._climbed),
        )
        self.link.ended.add_done_callback(self.guarded(self._ended))
        self.works_with(process.pid)
        self.enter("hello")
        self.link.hello()
        self._watchdog.arm("hello", deadlines.hello)
        process.count_io()  # loads what does so while the helper loads, too
        if not self.cancellable:
            self._demand(Step.ABORT)  # cancelled while it was spawned
        gone = asyncio.create_task(self._helper_gone())
        try:
            first: set[asyncio.Future[Any]] = {self.link.greeted, gone}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            self._watchdog.disarm("hello")
            if self.link.greeted.done() and self.failure is None:
                self._start(self.link)
            await self._gone_or_stays(gone)
        finally:
            gone.cancel()

    async def _gone_or_stays(self, gone: "asyncio.Task[None]") -> None:
        """Wait until the helper has left, or has done its work and stays as a guard."""
        stays = asyncio.create_task(self._stays.wait())
        try:
            await asyncio.wait([gone, stays], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stays.cancel()
        if gone.done():
            gone.result()

    async def _check_stream(self) -> bool:
        """Have the operation look at the stream; a failure meanwhile ends that."""
        self.enter("check")
        self._check = asyncio.create_task(self.operation.check(self._stream))
        await asyncio.wait({self._check})
        try:
            self._check.result()
        except JobError as exc:
            self.fail(exc)
        except asyncio.CancelledError:
            pass  # a failure has ended it
        return self.failure is None

    def _start(self, link: HelperLink) -> None:
        deadlines = self.deadlines
        self.enter("start")
        self.started = link.send(self.operation.start(self._stream.fd))
        if not self.started and link.ended.done():
            return  # it has gone, and how it ends says what it was
        if not self.started:
            self.fail(
                HelperCrashed(how="the helper could not be told its job"), Step.KILL
            )
            return
        self._watchdog.arm("heartbeat", deadlines.heartbeat, looks=2)
        self._watchdog.arm("no_progress", deadlines.no_progress)
        self.stall.begin()
        self.operation.began(self)

    def _event(self, event: Event) -> None:
        match event.message:
            case Stat():
                self._stat(event.message)
            case Log() | Progress():
                self.record.news(event.message)
                self.stall.passes(self.record.meter.history)
            case Phase(name):
                self._phase(name)
            case StopAndCopy():
                self.operation.last_pass(self)
            case RestoreResults():
                self.record.restore_results = event.message
            case Complete():
                self._complete(event.message)
            case _:
                self._call(event)

    def _phase(self, name: str) -> None:
        self._watchdog.disarm("build")
        self._watchdog.arm("build", self.operation.phase_limit(name))
        self.enter(name)
        self._watchdog.disarm("flush")
        if name == "flush":
            self._watchdog.disarm("no_progress")
            self._watchdog.disarm("stop_and_copy")
            self._watchdog.arm("flush", self.deadlines.flush)

    def _stat(self, stat: Stat) -> None:
        stat = self.operation.observe(stat)
        deadlines = self.deadlines
        self._watchdog.arm("heartbeat", deadlines.heartbeat, looks=2)
        io = self.link.process.io_counts() if self.link is not None else None
        moved = self.record.moved(stat, io) or self._calls.active
        self.stall.sign(moved=moved)
        self.stall.passes(self.record.meter.history)
        if moved and self.record.phase != "flush":
            self._watchdog.arm("no_progress", deadlines.no_progress)
        self._watch_guest(moved=moved)
        self.record.feed.publish(
            StatEvent(*(getattr(stat, name) for name in StatEvent.names()))
        )

    def _watch_guest(self, *, moved: bool) -> None:
        """See that a guest that is suspended does not wait for a stream that stands."""
        if not self.operation.guest.suspended or self.record.phase == "flush":
            return
        if moved or not self._guest_waits:
            self._watchdog.arm("stop_and_copy", self.deadlines.stop_and_copy)
        self._guest_waits = True

    def _call(self, event: Event) -> None:
        """Answer a call, unless it has crossed our abort: the helper has its answer."""
        assert self.link is not None
        if self.link.session.state is State.CALLING:
            self._calls.begin(event, self.link)

    def _complete(self, complete: Complete) -> None:
        assert self.link is not None
        self.complete = complete
        self.record.completed(complete)
        self._write_down()  # before the helper no longer cares whether we live
        good = not (complete.retval or complete.aborted or self.failure)
        if good and self.operation.guards(self._stream):
            self._stop_watching()
            self._stays.set()
        else:
            self._let_leave()
            self._judge(complete)
        self.enter("complete")

    def _let_leave(self) -> None:
        assert self.link is not None
        self.link.send(Release())

    def _report(self, process: HelperProcess, end: str) -> None:
        self.record.exit_status = end
        self.record.stderr_tail = process.stderr.text()
        self.record.rusage = process.rusage

    # ----- the journal ------------------------------------------------------------

    def works_with(self, pid: int) -> None:
        """Take note of a process that works for the job."""
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            self._helpers.append(Identity.of(pid))
        self._write_down()

    def _write_down(self) -> None:
        """Write down how far the job is; a journal that fails does not end a job."""
        if self._note is None:
            return
        try:
            self._note(
                {
                    "guest": self.operation.guest.snapshot(),
                    "phase": self.record.phase,
                    "helpers": tuple(self._helpers),
                    "complete": self.record.image() is ImageState.COMPLETE,
                }
            )
        except OSError as exc:
            self._unwritten = f"journal can't be written: {reason_of(exc)}"
            self.record.later.append(self._unwritten)
            self._note = None

    # ----- pressure ---------------------------------------------------------------

    @property
    def cancellable(self) -> bool:
        """Tell whether no outcome stands yet."""
        return self.complete is None and self.failure is None

    def cancel(self, reason: str) -> None:
        """Have the job aborted; nothing happens if it can't be any more."""
        if self.cancellable:
            self.fail(Cancelled(reason), Step.ABORT)
        elif self.failure is None:
            self.operation.interrupt(reason)

    def runs_here(self) -> bool:
        """Tell whether the current task is one of the job's callbacks."""
        return self._calls.runs_here()

    def _demand(self, step: Step) -> None:
        if self.link is None:
            if self._check is not None:
                self._check.cancel()
            return
        if self._stays.is_set() and step <= Step.ABORT:
            self._let_leave()  # its work is done: nothing is left to abort
            step = Step.LEAVE
        elif step is Step.ABORT and not self.started:
            self.link.pump.hang_up()  # nothing to abort yet: EOF makes it leave
            step = Step.TERM
        self.link.abort_reason = str(self.failure or "")
        super()._demand(step)

    def _stop_watching(self) -> None:
        super()._stop_watching()
        self.stall.close()
        self.precopy.close()

    def _stalled(self, event: StallEvent, action: StallAction) -> None:
        """Tell a stall; end the job if its policy says so."""
        self.record.feed.publish(event)
        if action is StallAction.STOP_AND_COPY:
            self.precopy.stalled()
        if action is StallAction.ABORT:
            self.fail(stall_of(event), Step.ABORT)
        else:
            self.record.later.append(f"stall: {event.text}: {event.action}")

    # ----- the end ----------------------------------------------------------------

    def enter(self, phase: str) -> None:
        """Take note that the job has entered a phase."""
        at = self.record.enter(phase)
        self._write_down()
        self.record.feed.publish(PhaseEvent(phase, at))

    def commit(self, phase: str) -> None:
        """See :class:`Run`."""
        self.enter(phase)
        if self._unwritten:
            raise BackendError(self._unwritten)

    async def _guard_or_gone(self) -> None:
        """Have a helper that stays for a guard, unless the job has failed by now."""
        if not self._stays.is_set():
            return
        assert self.link is not None
        if self.failure is None and not self.link.ended.done():
            self.record.exit_status = GUARDS
            self.record.stderr_tail = self.link.process.stderr.text()
            self.guard = Guard(self.link, self.deadlines.parent_silent)
            return
        self._demand(Step.LEAVE)
        await self._helper_gone()

    async def _examine(self) -> None:
        """Have the operation look whether the helper's claim of success is true."""
        if self.failure is not None or not self.started:
            return
        try:
            await self.operation.examine(self, self._stream)
        except JobError as exc:
            self.record.refuted = True
            self.fail(exc)
        except Exception as exc:  # the boundary to the operations
            self.record.refuted = True
            self.defect(exc)

    async def _looked_after(self) -> Settled:
        """Have the operation repair; should a defect prevent it, ask for the guest.

        The second time it repairs what a job that went well until then has left.
        """
        for _ in range(TRIES):
            try:
                return await self.operation.settle(self)
            except Exception as exc:  # the boundary to the operations
                self.defect(exc)
        return await ask_guest(
            self.operation.env, self.operation.domid, self.operation.uuid
        )

    async def _settle(self) -> None:
        """Stop the callbacks, repair, ask where the guest is, close everything."""
        self._stop_watching()
        try:
            self.record.later += await self._calls.gone(self.deadlines.repair)
            self.enter("settle")
            self.record.stream_moved = self.started and self._stream.moved()
            await self._examine()
            await self._guard_or_gone()
            self.settled = await self._looked_after()
        except asyncio.CancelledError:
            self.fail(Cancelled("the event loop is shutting down"))
            raise
        finally:
            self._stream.close()
            if self.link is not None:
                self.record.frames += self.link.pump.frames
                if self.guard is None:
                    self.link.close()
            self._note = None  # what is written down of it says how far it came
            self.enter("done")
            self.record.meter.end()
            self.record.feed.close()
