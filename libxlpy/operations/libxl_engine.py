"""Have Xen's own libxl-save-helper write the libxc stream, in order of execution.

Our helper writes libxl's records, keeps the heartbeat and makes the hypercalls, as in
every save; where it would run libxenguest it asks for ``SaveLibxc``, and this is the
answer. Xen's helper has a wire of its own, without hello, heartbeat or abort: what it
does is told by its messages and by the stream, and it is stopped by the failure of the
call it waits for, else by SIGTERM. Nothing it says is ever waited for without a bound.

Xen: tools/libs/light/libxl_save_callout.c, run_helper(); libxl_save_helper.c.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from libxlpy.errors import Cancelled, JobError, TimedOut
from libxlpy.jobs.failures import broken_by, crash_of, failure_of, overrun_of
from libxlpy.jobs.open_calls import Calls
from libxlpy.jobs.watchdog import Watchdog
from libxlpy.operations.libxl_meter import Meter
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.process.helper import ExitStatus, HelperProcess
from libxlpy.process.link import Link
from libxlpy_protocol.enums import Mode, StreamType, XcFlags
from libxlpy_protocol.libxl.session import LibxlParentSession
from libxlpy_protocol.messages import (
    Answer,
    CallMessage,
    Complete,
    Log,
    Progress,
    Stat,
    Suspend,
    SwitchQemuLogdirty,
)
from libxlpy_protocol.session import Event
from libxlpy_protocol.table import callback_mask, failure_answer

if TYPE_CHECKING:
    from libxlpy.jobs.run import JobRun

#: What libxl has for a plain save.
CALLBACKS = callback_mask([Suspend, SwitchQemuLogdirty])
NO_BACK_FD = -1
#: Its name in the report, and the level there (``XTL_INFO``).
NAME = "libxl-save-helper"
LEVEL_INFO = 5
#: Deadlines after which it can't be told anything any more.
HOPELESS = frozenset({"hello", "message"})


def save_argv(program: Path, stream_fd: int, domid: int, flags: XcFlags) -> list[str]:
    """Give what starts Xen's helper so that it ends with us, and not by SIGPIPE."""
    numbers = (stream_fd, NO_BACK_FD, domid, flags, CALLBACKS, StreamType.PLAIN)
    return [
        *(sys.executable, "-I", "-m", "libxlpy_helper.exec_into"),
        *("--parent", str(os.getpid())),
        *(str(program), "--save-domain"),
        *(str(int(number)) for number in numbers),
    ]


class LibxlLink(Link):
    """One helper of Xen's."""

    def __init__(
        self,
        env: Environment,
        process: HelperProcess,
        *,
        on_event: Callable[[Event], None],
        climbed: Callable[[Step, str], None],
    ) -> None:
        """Take it, just started; see the base class."""
        self.session = LibxlParentSession(Mode.SAVE, CALLBACKS)
        self._on_event = on_event
        self._call: Event | None = None
        super().__init__(env, process, self.session, climbed=climbed)

    def _event(self, event: Event) -> None:
        if event.call_id:
            self._call = event
        self._on_event(event)

    def refuse(self) -> bool:
        """Fail the call it waits for, if any: libxenguest then cleans up by itself."""
        call = self._call
        if call is None or self.session.open_call != call.call_id:
            return False
        answer = failure_answer(type(cast(CallMessage, call.message)))
        return self.send(answer, call.call_id)

    def _abort(self) -> None:
        # A signal while it waits would end it at once, with nothing cleaned up.
        if not self.refuse():
            self.process.signal(signal.SIGTERM)


class LibxlSave:
    """One helper of Xen's at work in one job."""

    def __init__(self, run: "JobRun", process: HelperProcess, stream_fd: int) -> None:
        """Take it, just started.

        Args:
            run: The job; its plan answers the calls.
            process: Of :func:`save_argv`.
            stream_fd: Where the libxc stream goes.
        """
        # ----- results -----
        self.failure: JobError | None = None
        # ----- private -----
        self._run = run
        self._deadlines = run.env.deadlines
        self._complete: Complete | None = None
        self._heard = False
        self._half = 0
        self._calls = Calls(run, lambda error: self._fail(error, Step.FAILING))
        self._watchdog = Watchdog(run.guarded(self._deadline_passed))
        self._link = LibxlLink(
            run.env,
            process,
            on_event=self._event,
            climbed=run.guarded(self._climbed),
        )
        run.notes.helper(self._link.process.pid)
        self._link.pump.on_read = self._watch_messages
        self._link.ended.add_done_callback(run.guarded(self._ended))
        self._meter = Meter(self._link, stream_fd)
        self._watchdog.arm("hello", self._deadlines.hello)
        self._end = asyncio.create_task(self._until_gone(), name=NAME)

    async def done(self) -> None:
        """Wait for its end; being cancelled makes it stop.

        Raises:
            JobError: The stream was not written.
        """
        try:
            await asyncio.shield(self._end)
        except asyncio.CancelledError:
            self._fail(Cancelled("the save has ended"), Step.ABORT)
            raise
        if self.failure is not None:
            raise self.failure

    async def gone(self) -> None:
        """Wait until it is dead, or given up: only then is the guest to be touched."""
        await asyncio.wait([self._end])

    # ----- the conversation -------------------------------------------------------

    def _event(self, event: Event) -> None:
        match event.message:
            case Progress():
                self._meter.progress(event.message)
                self._run.record.news(event.message)
            case Log():
                self._run.record.news(event.message)
            case Complete():
                self._completed(event.message, event.call_id)
            case _ if self._link.escalation.step >= Step.ABORT:
                self._link.refuse()
            case _:
                self._calls.begin(event, self._link)

    def _completed(self, complete: Complete, call_id: int) -> None:
        self._complete = complete
        self._meter.look()  # the last figures: it ends once it is answered
        self._link.send(Answer(0), call_id)
        if complete.retval and self.failure is None:
            hint = self._run.record.first_error
            self._fail(self._calls.blamed(failure_of(complete, hint)), Step.LEAVE)
        self._demand(Step.LEAVE)

    def _watch_messages(self) -> None:
        """Bound the time that one message takes, however its bytes trickle in.

        The first one takes the place of a hello: it says that the program runs.
        """
        if not self._heard and self._works:
            self._heard = True
            self._watchdog.disarm("hello")
            self._watchdog.arm("stall", self._deadlines.stall)
            self._watchdog.arm("no_progress", self._deadlines.no_progress)
        half = self._link.session.half_message
        if half and half != self._half and self._works:
            self._watchdog.arm("message", self._deadlines.message)
        elif not half:
            self._watchdog.disarm("message")
        self._half = half

    def observe(self, stat: Stat) -> Stat:
        """Take our helper's heartbeat for a look at the stream; give it completed."""
        moved = self._meter.look(stat.bytes_done)
        if self._works and self._heard:
            if moved or self._calls.active:
                self._watchdog.arm("no_progress", self._deadlines.no_progress)
            if moved or self._calls.active or self._meter.is_full():
                self._watchdog.arm("stall", self._deadlines.stall)
        return stat.replace(
            bytes_done=self._meter.total(stat.bytes_done),
            pages=self._meter.pages,
            iteration=self._meter.iteration,
        )

    @property
    def _works(self) -> bool:
        """Whether its end is neither near nor wanted."""
        return self._link.escalation.step < Step.LEAVE

    # ----- failures ---------------------------------------------------------------

    def _fail(self, error: JobError, step: Step = Step.WORK) -> None:
        """Take note of a failure, the first one wins, and press it to leave."""
        if self.failure is None:
            self.failure = error
        else:
            self._run.record.later.append(str(error))
        self._demand(step)

    def _demand(self, step: Step) -> None:
        if step >= Step.LEAVE:
            self._watchdog.close()
        if step >= Step.ABORT:
            self._calls.stop()
        self._link.escalation.demand(step)

    def _deadline_passed(self, name: str, seconds: float) -> None:
        step = Step.KILL if name in HOPELESS else Step.ABORT
        self._fail(TimedOut(name, seconds), step)

    def _climbed(self, step: Step, bound: str) -> None:
        seconds = getattr(self._deadlines, bound)
        if self.failure is None:
            completed = self._complete is not None
            self._fail(overrun_of(bound, seconds, completed=completed))
        else:
            text = f"{NAME}: {bound} of {seconds:g} s passed: {step.name}"
            self._run.record.later.append(text)
        if step >= Step.ABORT:
            self._calls.stop()

    def _ended(self, ended: "asyncio.Future[Exception | None]") -> None:
        error = ended.result()
        if error is not None:
            self._fail(broken_by(error), Step.KILL)
        self._calls.stop()
        self._demand(Step.LEAVE)

    # ----- the end ----------------------------------------------------------------

    async def _until_gone(self) -> None:
        link = self._link
        try:
            status = await link.escalation.run()
            await link.drain()
            if self.failure is None:
                self._judge(status)
            self._run.record.later += await self._calls.gone(self._deadlines.repair)
            self._report(await link.process.place())
        finally:
            self._watchdog.close()
            self._meter.close()
            link.close()

    def _judge(self, status: ExitStatus | None) -> None:
        assert status is not None  # climbing the escalation is a failure by itself
        stderr = self._link.process.stderr.text()
        completed = self._complete is not None
        hint = stderr or self._run.record.first_error
        if crash := crash_of(status, hint, completed=completed):
            self._fail(crash)

    def _report(self, end: str) -> None:
        record = self._run.record
        for line in self._link.process.stderr.text().splitlines():
            record.log(LEVEL_INFO, NAME, line)
        record.log(LEVEL_INFO, NAME, end)
        record.frames += tuple(self._link.pump.frames)
