"""The control thread: the pipes, heartbeats, domain ops, abort, and the parent's loss.

It never waits for the main thread, which may be stuck in the kernel, and it is the one
that ends the process: see :meth:`Control.run`.
"""

import contextlib
import errno
import os
import select
import sys
import threading
import time
from typing import Final

from libxlpy_helper.abort import KICK_INTERVAL, Abort
from libxlpy_helper.channel import Channel
from libxlpy_helper.domain_ops import perform
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.guest import Guest
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.stats import Stats
from libxlpy_helper.suspend_channel import SuspendChannel
from libxlpy_helper.waker import Waker
from libxlpy_helper.wire import ParentGoneError, Wire
from libxlpy_helper.xen.xenguest import Handle
from libxlpy_protocol.enums import Mode, OnParentLoss
from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.messages import Abort as AbortMessage
from libxlpy_protocol.messages import (
    Answer,
    AskToSuspend,
    Complete,
    DomainOp,
    Release,
    Start,
)
from libxlpy_protocol.session import Event

HEARTBEAT: Final = 0.4  # seconds; the protocol promises one every half second
# Seconds from the loss of the parent to our end, repair included. A repair takes some
# milliseconds; the bounds are for peers that hang. No hypercall of it depends on them:
# a busy machine may make us late, but not leave a guest suspended.
ALONE_MAX: Final = 2.0
UNWIND_MAX: Final = 0.6  # seconds of those that libxc gets to clean up by itself
SIGNALFD_INFO_SIZE: Final = 128  # bytes; struct signalfd_siginfo


class Control:
    """One per process; ``run`` is the thread, the rest is for the main thread."""

    alone_max = ALONE_MAX
    unwind_max = UNWIND_MAX

    def __init__(
        self,
        wire: Wire,
        waker: Waker,
        signal_fd: int,
        *,
        parent: int,
        handle: Handle,
        outbox: Outbox,
        channel: Channel,
        stats: Stats,
        abort: Abort,
    ) -> None:
        self._wire = wire
        self._waker = waker
        self._signal_fd = signal_fd
        self._parent = parent
        self._handle = handle
        self._outbox = outbox
        self._channel = channel
        self._stats = stats
        self._abort = abort

        self._poll = select.poll()
        for fd in (wire.read_fd, waker.fd, signal_fd):
            self._poll.register(fd, select.POLLIN)
        self._suspend = SuspendChannel(handle, self._poll, outbox)
        self._beat_at = time.monotonic()
        self._start: Start | None = None  # of a save or restore
        self._guest: Guest | None = None  # of a save
        self._has_start = threading.Event()
        self._outcome: Complete | None = None
        self._ends = threading.Lock()  # one outcome, whichever thread has it
        self._released = False  # the parent has the outcome
        self._lost: ExitStatus | None = None  # why there is no parent to talk to
        self._unwind_until = float("inf")
        self._end_by = float("inf")
        self._status: ExitStatus | None = None

    # ----- for the main thread ----------------------------------------------------

    def wait_start(self) -> Start:
        """Wait for a save or restore to do; for ever, if none is to come."""
        self._has_start.wait()
        assert self._start is not None
        return self._start

    def complete(self, outcome: Complete) -> None:
        """Tell how the operation ended; the last thing the main thread does."""
        with self._ends:
            if self._outcome is not None:
                return
            # The last figures: a job may be over before its first heartbeat.
            self._outbox.put(self._stats.stat(self._outbox.dropped))
            self._outbox.put(outcome)
            self._outcome = outcome
        self._waker.wake()

    # ----- the thread -------------------------------------------------------------

    def run(self) -> None:
        """Serve until the process has nothing more to do, then end it."""
        status = ExitStatus.BUG
        try:
            while self._status is None:
                self._turn()
            status = self._status
        except Exception as exc:  # the main thread must not wait for ever
            sys.excepthook(type(exc), exc, exc.__traceback__)
        finally:
            self._suspend.close()
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)

    def _turn(self) -> None:
        ready = dict(self._poll.poll(self._timeout_ms()))
        if self._waker.fd in ready:
            self._waker.clear()
        if self._signal_fd in ready:
            self._on_signal()
        self._suspend.look(ready)
        try:
            if self._wire.read_fd in ready and self._lost is None:
                self._read()
            self._beat()
            self._write()
        except ParentGoneError:
            self._lose(ExitStatus.PARENT_LOST)
        if self._abort.requested and self._is_busy:
            self._abort.kick()
        self._check_end()

    def _timeout_ms(self) -> int:
        now = time.monotonic()
        until = min(self._beat_at, self._unwind_until, self._end_by)
        if self._abort.requested and self._is_busy:
            until = min(until, now + KICK_INTERVAL)
        return max(0, int((until - now) * 1000) + 1)

    @property
    def _is_busy(self) -> bool:
        """Whether the main thread is at the operation."""
        return self._start is not None and self._outcome is None

    # ----- from the parent --------------------------------------------------------

    def _read(self) -> None:
        try:
            events = self._wire.read()
        except RemoteProtocolError as exc:
            self._lose(ExitStatus.PROTOCOL_ERROR)
            _say(f"the parent broke the protocol: {exc}")
            return
        for event in events:
            self._handle_event(event)

    def _handle_event(self, event: Event) -> None:
        match event.message:
            case Start(mode=mode) as start if mode is not Mode.OPS:
                self._begin(start)
            case Answer(value=value):
                self._answer(value)
            case AbortMessage():
                self._request_abort()
            case Release():
                self._released = True
            case DomainOp() as op:
                self._outbox.put(perform(self._handle, op), event.call_id)
            case AskToSuspend() as ask:
                guest = self._guest if self._is_busy else None
                self._outbox.put(self._suspend.ask(guest, ask), event.call_id)
            case _:
                pass  # hello: the session has looked at it

    def _begin(self, start: Start) -> None:
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
        if time.monotonic() >= self._beat_at:
            self._beat_at = time.monotonic() + HEARTBEAT
            if self._lost is None:
                self._outbox.put(self._stats.stat(self._outbox.dropped))
            self._suspend.unmask()
            self._look_at_guest()

    def _look_at_guest(self) -> None:
        """End at once if it has ended: libxc may wait long for a reader of its stream.

        Or go on with another domain of its domid, whose log-dirty mode its clean-up
        would end. There is nothing to unwind.
        """
        if self._is_busy and self._guest is not None and self._guest.has_ended():
            self.complete(Complete(-1, errno.ESTALE, aborted=False))
            self._released = True

    def _is_replaced(self) -> bool:
        return self._is_busy and self._guest is not None and self._guest.is_replaced()

    def _write(self) -> None:
        if self._lost is not None:
            return
        self._wire.write(calls=not self._channel.closed)
        self._wire.watch(self._poll)
        if not self._wire.is_blocked and not self._wire.is_idle:
            self._waker.wake()  # its share of this turn is used up

    # ----- ends -------------------------------------------------------------------

    def _on_signal(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._signal_fd, SIGNALFD_INFO_SIZE)
        if os.getppid() != self._parent:
            self._lose(ExitStatus.PARENT_LOST)  # the death signal
        elif self._start is None:
            self._status = ExitStatus.STOPPED
        elif self._outcome is None:
            self._request_abort()

    def _request_abort(self) -> None:
        self._look_at_guest()
        if not self._is_busy:
            return
        self._abort.request()  # first: what the end of a call lets go on must not write
        self._channel.close()

    def _lose(self, why: ExitStatus) -> None:
        """Go on without a parent; ``why`` becomes the exit status."""
        if self._lost is not None:
            return
        self._lost = why
        self._wire.leave(self._poll)
        if self._start is None:
            done = self._wire.session.mode is Mode.OPS and why is ExitStatus.PARENT_LOST
            self._status = ExitStatus.OK if done else why
            return
        if self._is_replaced():
            _say(f"domain {self._start.domid} is another domain now: left alone")
            self._status = why
            return
        if self._start.on_parent_loss is OnParentLoss.ABORT_AND_RESUME:
            now = time.monotonic()
            self._unwind_until = now + self.unwind_max
            self._end_by = now + self.alone_max
            self._abort.request()
        self._channel.close()

    def _check_end(self) -> None:
        if self._status is not None:
            return
        if self._lost is None:
            if self._released and self._wire.is_idle:
                self._status = ExitStatus.OK
        elif not self._is_busy or time.monotonic() >= self._unwind_until:
            self._repair()
            self._status = self._lost

    def _repair(self) -> None:
        """Do what the parent would do after a failed save."""
        from libxlpy_helper.repair import repair  # the main thread has loaded it

        start, guest, outcome = self._start, self._guest, self._outcome
        assert start is not None
        if guest is None:
            return
        saved = outcome is not None and not outcome.retval
        if not (saved and start.on_parent_loss is OnParentLoss.FINISH):
            asked = self._channel.suspend_asked
            end_by = min(self._end_by, time.monotonic() + ALONE_MAX)
            repair(self._handle, guest, start, suspend_asked=asked, end_by=end_by)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody may read it any more
        sys.stderr.write(f"libxlpy-helper: {text}\n")
