"""Run one helper for one job, from spawn to the end, in order of execution.

A :class:`~libxlpy.jobs.operation.Plan` says what the job is; a :class:`JobRun` does
what all jobs have in common: conversation, callbacks, deadlines, the first failure, the
end. Join rule: the helper is gone, the callbacks have stopped and the repair is done
before the outcome is told, once.
"""

import asyncio
from typing import Any

from libxlpy.domain.repair import TRIES, ask_guest
from libxlpy.errors import BackendError, Cancelled, HelperCrashed, TimedOut
from libxlpy.events import PhaseEvent, StatEvent
from libxlpy.helper_io import HelperIo
from libxlpy.job_notes import JobNotes, Note
from libxlpy.jobs.failures import (
    broken_by,
    failure_of,
    overrun_of,
)
from libxlpy.jobs.helper_run import Failing
from libxlpy.jobs.open_calls import Calls
from libxlpy.jobs.operation import Plan, Settled
from libxlpy.jobs.stall import StallWatch
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.jobs.watchdog import Watchdog
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.process.link import HelperLink, start_helper
from libxlpy_protocol.messages import (
    Complete,
    Log,
    Phase,
    Progress,
    Release,
    RestoreResults,
    Stat,
)
from libxlpy_protocol.session import Event
from libxlpy_protocol.states import State


class JobRun(Failing):
    """One helper at work on one plan."""

    def __init__(
        self,
        plan: Plan[Any],
        stream: StreamFd,
        env: Environment,
        note: Note | None = None,
    ) -> None:
        # ----- set by the caller -----
        self.plan = plan
        self.env = env
        # ----- results -----
        super().__init__()  # record, failure
        self.link: HelperLink | None = None
        self.settled = Settled()
        #: Answers ``precopy_policy``, too.
        self.stall = StallWatch(
            env.stall, self.guarded(self._stalled), env.precopy_policy
        )
        #: The helper was given its job: the guest may be touched.
        self.started = False
        #: What is written down of it.
        self.notes = JobNotes(plan, self.record, note)
        # ----- private -----
        self._stream = stream
        self._calls = Calls(self, lambda error: self.fail(error, Step.FAILING))
        self._watchdog = Watchdog(self.guarded(self._deadline_passed))
        self._io: HelperIo | None = None

    async def run(self) -> None:
        """Do the whole job; the outcome is in ``failure`` and ``record``."""
        try:
            await self._work()
        except asyncio.CancelledError:
            # The loop is shut down under us: the helper must still go, bounded.
            self.fail(Cancelled("the event loop is shutting down"), Step.ABORT)
            await self._helper_gone()
        except BackendError as exc:
            self.fail(HelperCrashed(how=str(exc)))
        except Exception as exc:  # the boundary to the caller, who is told
            self.defect(exc)
            await self._helper_gone()
        finally:
            await self._settle()

    # ----- the conversation -------------------------------------------------------

    async def _work(self) -> None:
        deadlines = self.env.deadlines
        if self.failure is not None:
            return  # cancelled before anything was done
        self.enter("spawn")
        inherited = [self._stream.fd, *self.plan.inherited()]
        try:
            process = await start_helper(self.env, inherited)
        except TimeoutError:
            self.fail(TimedOut("spawn", deadlines.spawn))
            return
        self.link = HelperLink(
            self.env,
            process,
            on_event=self._event,
            climbed=self.guarded(self._climbed),
        )
        self.link.ended.add_done_callback(self.guarded(self._ended))
        self._io = HelperIo(self.link.process)
        self.notes.helper(self.link.process.pid)
        self.enter("hello")
        self.link.hello()
        self._watchdog.arm("hello", deadlines.hello)
        self._watchdog.arm("total", deadlines.total)
        if not self.cancellable:
            self._demand(Step.ABORT)  # cancelled while it was spawned
        gone = asyncio.create_task(self._helper_gone())
        try:
            first: set[asyncio.Future[Any]] = {self.link.greeted, gone}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            self._watchdog.disarm("hello")
            if self.link.greeted.done() and self.failure is None:
                self._start(self.link)
            await gone
        finally:
            gone.cancel()

    def _start(self, link: HelperLink) -> None:
        deadlines = self.env.deadlines
        self.enter("start")
        self.started = link.send(self.plan.start(self._stream.fd))
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

    def _event(self, event: Event) -> None:
        match event.message:
            case Stat():
                self._stat(event.message)
            case Log() | Progress():
                self.record.news(event.message)
                self.stall.passes(self.record.meter.history)
            case Phase(name):
                self._phase(name)
            case RestoreResults():
                self.record.restore_results = event.message
            case Complete():
                self._complete(event.message)
            case _:
                self._call(event)

    def _phase(self, name: str) -> None:
        self._watchdog.disarm("build")
        self._watchdog.arm("build", self.plan.phase_limit(name))
        self.enter(name)
        self._watchdog.disarm("flush")
        if name == "flush":
            self._watchdog.arm("flush", self.env.deadlines.flush)

    def _stat(self, stat: Stat) -> None:
        stat = self.plan.observe(stat)
        deadlines = self.env.deadlines
        self._watchdog.arm("heartbeat", deadlines.heartbeat, looks=2)
        io = self._io.sample() if self._io is not None else None
        moved = self.record.moved(stat, io) or self._calls.active
        self.stall.sign(moved=moved)
        self.stall.passes(self.record.meter.history)
        if moved:
            self._watchdog.arm("no_progress", deadlines.no_progress)
        self.record.feed.publish(
            StatEvent(*(getattr(stat, name) for name in StatEvent.__slots__))
        )

    def _call(self, event: Event) -> None:
        """Answer a call, unless it has crossed our abort: the helper has its answer."""
        assert self.link is not None
        if self.link.session.state is State.CALLING:
            self._calls.begin(event, self.link)

    def _complete(self, complete: Complete) -> None:
        assert self.link is not None
        self.record.completed(complete)
        self.notes.write()  # before the helper no longer cares whether we live
        self.link.send(Release())
        self._stop_watching()
        if self.failure is None and (complete.retval != 0 or complete.aborted):
            hint = self.record.first_error
            failure = failure_of(complete, hint, self.plan.library)
            self.fail(self._calls.blamed(failure), Step.LEAVE)
        self.enter("complete")
        self._demand(Step.LEAVE)

    def _ended(self, ended: "asyncio.Future[Exception | None]") -> None:
        error = ended.result()
        if error is not None:
            self.fail(broken_by(error), Step.KILL)
        self._calls.stop()
        self._demand(Step.LEAVE)

    async def _helper_gone(self) -> None:
        """Wait until the helper is dead, or given up, and all it said was read."""
        if self.link is None:
            return
        status = await self.link.escalation.run()
        await self.link.drain()
        self.record.exit_status = await self.link.process.place()
        self.record.stderr_tail = self.link.process.stderr.text()
        self.record.rusage = self.link.process.rusage
        if self.failure is None:
            self._judge(status, await self.link.process.oom_proof())

    # ----- pressure ---------------------------------------------------------------

    def runs_here(self) -> bool:
        """Tell whether the current task is one of the job's callbacks."""
        return self._calls.runs_here()

    def _demand(self, step: Step) -> None:
        if self.link is None:
            return
        if step >= Step.ABORT:
            self._stop_watching()
            self._calls.stop()
        if step is Step.ABORT and not self.started:
            self.link.pump.hang_up()  # nothing to abort yet: EOF makes it leave
            step = Step.TERM
        self.link.abort_reason = str(self.failure or "")
        self.link.escalation.demand(step)

    def _stop_watching(self) -> None:
        self._watchdog.close()
        self.stall.close()

    def _climbed(self, step: Step, bound: str) -> None:
        """Take note that the helper did not leave in time and what is done next."""
        seconds = getattr(self.env.deadlines, bound)
        if self.failure is None:
            completed = self.record.complete is not None
            self.fail(overrun_of(bound, seconds, completed=completed))
        else:
            self.record.later.append(f"{bound} of {seconds:g} s passed: {step.name}")
        if step >= Step.ABORT:
            self._calls.stop()

    # ----- the end ----------------------------------------------------------------

    def enter(self, phase: str) -> None:
        """Take note that the job has entered a phase."""
        at = self.record.enter(phase)
        self.record.feed.publish(PhaseEvent(phase, at))
        self.notes.write()

    async def _looked_after(self) -> Settled:
        """Have the plan repair; if it can't for a defect, ask at least for the guest.

        The second time it repairs what a job that went well until then has left.
        """
        for _ in range(TRIES):
            try:
                return await self.plan.settle(self)
            except Exception as exc:  # the boundary to the plans
                self.defect(exc)
        return await ask_guest(self.env, self.plan.domid, self.plan.uuid)

    async def _settle(self) -> None:
        """Stop the callbacks, repair, ask where the guest is, close everything."""
        self._stop_watching()
        try:
            self.record.later += await self._calls.gone(self.env.deadlines.repair)
            self.enter("settle")
            self.record.stream_moved = self.started and self._stream.moved()
            self.settled = await self._looked_after()
        except asyncio.CancelledError:
            self.fail(Cancelled("the event loop is shutting down"))
            raise
        finally:
            self._stream.close()
            if self._io is not None:
                self._io.close()
            if self.link is not None:
                self.record.frames += tuple(self.link.pump.frames)
                self.link.close()
            self.enter("end")
            self.record.meter.end()
            self.record.feed.close()
