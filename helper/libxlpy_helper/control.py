"""The control thread of the helper: heartbeats, domain ops, aborts, a lost parent."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time

from libxlpy_helper.control_loop import HEARTBEAT, ControlLoop
from libxlpy_helper.domain_ops import perform
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.guest import Guest
from libxlpy_helper.parent_wire import Wire
from libxlpy_helper.parts import Parts
from libxlpy_helper.silence import Silence
from libxlpy_helper.suspend_channel import SuspendChannel
from libxlpy_helper.xen.xenguest import Handle
from libxlpy_protocol.enums import Mode, OnParentLoss
from libxlpy_protocol.messages import Abort as AbortMessage
from libxlpy_protocol.messages import (
    Alive,
    Answer,
    AskToSuspend,
    Complete,
    DomainOp,
    FailOver,
    LetGo,
    OpResult,
    PrecopyPolicy,
    Release,
    Start,
    StopAndCopy,
)
from libxlpy_protocol.table import callback_mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

    from libxlpy_protocol.receiver import Event

#: Seconds for which a look at the guest is enough before libxc goes on; one by which it
#: is to clean up always needs a new one. Without any answer it is looked at less often.
LOOKED: Final = 0.05


class Control(ControlLoop):
    """As the base class; what there is to do comes from the parent."""

    def __init__(
        self, wire: Wire, parts: Parts, signal_fd: int, handle: Handle, parent: int
    ) -> None:
        super().__init__(wire, parts, signal_fd, handle)
        self._wire = wire
        self._parent = parent
        self._stats = parts.stats
        self._suspend = SuspendChannel(handle, self._poll, self._outbox)
        self._start: Start | None = None  # of a save or restore
        self._guest: Guest | None = None  # of a save
        self._has_start = threading.Event()
        self._has_reader = False  # the stream: it may be a guest by now
        self._released = False  # the parent has the outcome, and settled the end
        self._given_away = False  # the guest is not to be touched any more
        self._silence = Silence()
        self._heard = 0  # of what the wire has read
        self._looked_at = -LOOKED  # the guest

    # ----- for the main thread ----------------------------------------------------

    def wait_start(self) -> Start:
        """Wait for a save or restore to do; for ever, if none is to come."""
        self._has_start.wait()
        assert self._start is not None
        return self._start

    def _tell_outcome(self, outcome: Complete) -> None:
        # The last figures: a job may be over before its first heartbeat.
        self._outbox.put(self._stats.stat(self._outbox.dropped))
        super()._tell_outcome(outcome)
        start, saved = self._start, self._guest is not None and not outcome.retval
        if start is not None and saved:
            os.close(start.stream_fd)  # we may stay, and a reader waits for its end

    # ----- the thread -------------------------------------------------------------

    def _serve(self, ready: dict[int, int]) -> None:
        self._suspend.look(ready)
        if self._lost is None:
            if self._wire.read_fd in ready or self._wire.is_handed:
                self._read()
            self._listen()
        self._beat()
        if self._lost is None:
            self._write()

    def _listen(self) -> None:
        """Take that something was heard, whichever thread has read it."""
        if self._wire.reads != self._heard:
            self._heard = self._wire.reads
            self._silence.heard()

    @property
    def _is_busy(self) -> bool:
        return self._start is not None and self._outcome is None

    def _may_go_on(self) -> bool:
        if self._outcome is not None:
            return False
        return self._guest is None or time.monotonic() < self._looked_at + LOOKED

    # ----- from the parent --------------------------------------------------------

    def _take(self, event: Event) -> None:
        match event.message:
            case Start(mode=mode) as start if mode is not Mode.OPS:
                self._begin(start)
            case Answer(value=value):
                self._answer(value)
            case AbortMessage():
                self._request_abort()
            case FailOver():
                self._fail_over()
            case Release():
                self._released = True
            case DomainOp() | AskToSuspend() | Alive() | LetGo() as op:
                self._outbox.put(self._done(op), event.call_id)
            case _:
                pass  # hello: the session has looked at it

    def _done(self, op: DomainOp | AskToSuspend | Alive | LetGo) -> OpResult:
        match op:
            case DomainOp():
                return self._perform(op)
            case AskToSuspend():
                guest = self._guest if self._is_busy else None
                return self._suspend.ask(guest, op, again=self._has_checkpoints)
            case Alive():
                self._silence.bound_ms = op.silence_ms
            case LetGo():
                self._given_away = True
        return OpResult(0)

    @property
    def _has_checkpoints(self) -> bool:
        return self._start is not None and self._start.mode is Mode.REMUS

    def _perform(self, op: DomainOp) -> OpResult:
        result = perform(self._handle, op)
        start, guest = self._start, self._guest
        is_ours = start is not None and op.domid == start.domid
        if guest is not None and is_ours and not result.retval:
            guest.noted(op.op)
        return result

    def _begin(self, start: Start) -> None:
        with contextlib.suppress(OSError):  # the operation will refuse it
            mode = os.fstat(start.stream_fd).st_mode
            self._has_reader = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if start.mode is not Mode.RESTORE:
            self._guest = Guest(self._handle, start.domid, start.uuid)
        self._start = start
        self._has_start.set()

    def _answer(self, value: int | bytes | None) -> None:
        self._look_at_guest()  # a failure makes libxc clean up
        if self._is_busy:
            self._channel.answer(value)

    # ----- to the parent ----------------------------------------------------------

    def _beat(self) -> None:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + HEARTBEAT
            if self._lost is None and self._outcome is None:
                self._outbox.put(self._stats.stat(self._outbox.dropped))
            self._suspend.unmask()
            self._look_at_guest()
            if self._silence.is_too_long() and self._is_waiting:
                self._lose(ExitStatus.PARENT_SILENT)

    def _look_at_guest(self) -> None:
        if self._is_busy and self._guest is not None:
            self._looked_at = time.monotonic()
            self._released |= self._give_up_if_ended(self._guest)

    def _is_replaced(self) -> bool:
        return self._is_busy and self._guest is not None and self._guest.is_replaced()

    def _watch(self) -> None:
        self._wire.watch(self._poll)

    # ----- ends -------------------------------------------------------------------

    def _on_signal(self) -> None:
        if os.getppid() != self._parent:
            self._lose(ExitStatus.PARENT_LOST)  # the death signal
        elif self._start is None:
            self._status = ExitStatus.STOPPED
        elif self._outcome is None:
            self._request_abort()

    def _on_stop_and_copy(self) -> None:
        """Pass it on to a parent that is asked how passes go on."""
        start = self._start
        if start is None or not self._is_busy or self._abort.requested:
            return
        if start.callback_mask & callback_mask([PrecopyPolicy]):
            self._outbox.put(StopAndCopy())

    def _request_abort(self) -> None:
        self._look_at_guest()
        if not self._is_busy:
            return
        self._abort.request()  # first: what the end of a call lets go on must not write
        self._channel.abort()

    def _fail_over(self) -> None:
        """Take the stream for ended; one that can't be is aborted."""
        try:
            self._abort.end_streams()
        except OSError as exc:
            self._say(f"can't end the stream: {exc.strerror}")
            self._request_abort()

    def _lose(self, why: ExitStatus) -> None:
        if self._lost is not None:
            return
        self._lost = why
        self._wire.leave(self._poll)
        if self._start is None:
            done = self._wire.session.mode is Mode.OPS and why is ExitStatus.PARENT_LOST
            self._status = ExitStatus.OK if done else why
            return
        if self._is_replaced():
            self._say(f"domain {self._start.domid} is another domain now: left alone")
            self._status = why
            return
        if self._start.on_parent_loss is not OnParentLoss.FINISH:
            self._set_time_to_end()
            self._abort.request()
        self._channel.close()

    @property
    def _is_delivered(self) -> bool:
        return self._released and self._wire.is_idle

    @property
    def _is_waiting(self) -> bool:
        """Whether the guest is suspended for us, and would run again without a parent.

        One that was let run by whoever is silent, or not asked yet, needs nobody.
        """
        guest, asked = self._guest, self._channel.suspend_asked
        if guest is None or not asked or guest.was_suspended or self._is_given:
            return False
        return self._lost is None and not self._released and guest.is_suspended()

    @property
    def _is_given(self) -> bool:
        """Whether it was saved to stay suspended, or somebody else may have it."""
        start, outcome = self._start, self._outcome
        if self._given_away:
            return True
        if start is None or outcome is None or outcome.retval:
            return False
        match start.on_parent_loss:
            case OnParentLoss.FINISH:
                return True
            case OnParentLoss.RESUME_UNLESS_RELEASED:
                return False
            case _:
                return self._has_reader

    def _repair(self) -> None:
        start, guest = self._start, self._guest
        assert start is not None
        if guest is None:
            return
        if not self._is_given:
            self._put_right(guest, start)
        elif start.on_parent_loss is not OnParentLoss.FINISH:
            self._say("all was sent: the guest stays suspended, who has it may run it")

    def _end(self, status: ExitStatus) -> NoReturn:
        self._suspend.close()
        super()._end(status)
