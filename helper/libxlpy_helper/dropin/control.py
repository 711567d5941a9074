"""The control thread of the drop-in: libxl's pipes, signals, and libxl's end.

As :mod:`libxlpy_helper.control`, with the rules of libxl's protocol in place of ours:
an abort is a SIGTERM, and libxl answers even the last message.
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
from libxlpy_helper.control import (
    ALONE_MAX,
    HEARTBEAT,
    SIGNALFD_INFO_SIZE,
    UNWIND_MAX,
)
from libxlpy_helper.dropin.wire import LibxlChannel, LibxlWire, ParentGoneError
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.guest import Guest
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.repair import repair
from libxlpy_helper.waker import Waker
from libxlpy_helper.xen.xenguest import Handle
from libxlpy_protocol.enums import Mode
from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.messages import Answer, Complete, Start

FOREVER: Final = float("inf")


class LibxlControl:
    """One per process; ``run`` is the thread, ``complete`` is for the main thread."""

    def __init__(
        self,
        wire: LibxlWire,
        waker: Waker,
        start: Start,
        *,
        signal_fd: int,
        parent_fd: int,
        handle: Handle,
        outbox: Outbox,
        channel: LibxlChannel,
        abort: Abort,
    ) -> None:
        """``parent_fd`` is libxl's pidfd, ``handle`` this thread's own."""
        self._wire = wire
        self._waker = waker
        self._start = start
        self._guest = Guest(handle, start.domid)
        self._signal_fd = signal_fd
        self._parent_fd = parent_fd
        self._handle = handle
        self._outbox = outbox
        self._channel = channel
        self._abort = abort

        self._poll = select.poll()
        for fd in (wire.read_fd, waker.fd, signal_fd, parent_fd):
            self._poll.register(fd, select.POLLIN)
        self._poll.register(wire.write_fd, 0)  # its other end may close all the same
        self._look_at = time.monotonic() if start.mode is Mode.SAVE else FOREVER
        self._outcome: Complete | None = None
        self._ends = threading.Lock()  # one outcome, whichever thread has it
        self._lost: ExitStatus | None = None  # why there is no libxl to talk to
        self._unwind_until = FOREVER
        self._end_by = FOREVER
        self._status: ExitStatus | None = None

    # ----- for the main thread ----------------------------------------------------

    def complete(self, outcome: Complete) -> None:
        """Tell how the operation ended; the last thing the main thread does."""
        with self._ends:
            if self._outcome is not None:
                return
            self._outbox.put(outcome)
            self._outcome = outcome
        self._waker.wake()

    # ----- the thread -------------------------------------------------------------

    def run(self) -> None:
        """Serve until libxl knows the outcome, or is gone; then end the process."""
        status = ExitStatus.BUG
        try:
            while self._status is None:
                self._turn()
            status = self._status
        except Exception as exc:  # the main thread must not wait for ever
            sys.excepthook(type(exc), exc, exc.__traceback__)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)

    def _turn(self) -> None:
        ready = dict(self._poll.poll(self._timeout_ms()))
        if self._waker.fd in ready:
            self._waker.clear()
        if self._signal_fd in ready:
            self._on_signal()
        self._look_at_guest()
        if self._lost is None:
            try:
                self._talk(ready)
            except ParentGoneError:
                self._lose(ExitStatus.PARENT_LOST)
        if self._abort.requested and self._outcome is None:
            self._abort.kick()
        self._check_end()

    def _timeout_ms(self) -> float | None:
        now = time.monotonic()
        until = min(self._look_at, self._unwind_until, self._end_by)
        if self._abort.requested and self._outcome is None:
            until = min(until, now + KICK_INTERVAL)
        return None if until == FOREVER else max(0, int((until - now) * 1000) + 1)

    def _look_at_guest(self) -> None:
        """End a save whose guest has: libxc may wait long for a reader of its stream.

        Or go on with another domain of its domid. There is nothing to unwind.
        """
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + HEARTBEAT
        if self._outcome is not None or self._lost is not None:
            self._look_at = FOREVER
        elif self._guest.has_ended():
            _say(f"domain {self._start.domid} has ended")
            self.complete(Complete(-1, errno.ESTALE, aborted=False))

    def _talk(self, ready: dict[int, int]) -> None:
        """Take answers, send messages.

        Raises:
            ParentGoneError: libxl closed a pipe, or died.
        """
        if self._wire.read_fd in ready:
            self._read()
        if self._lost is not None or self._wire.is_done:
            return
        broken = ready.get(self._wire.write_fd, 0) & select.POLLERR
        if broken or self._parent_fd in ready:
            raise ParentGoneError
        self._wire.write(calls=not self._channel.closed)
        wanted = select.POLLOUT if self._wire.is_blocked else 0
        self._poll.modify(self._wire.write_fd, wanted)
        if not self._wire.is_blocked and not self._wire.is_idle:
            self._waker.wake()  # its share of this turn is used up

    def _read(self) -> None:
        try:
            events = self._wire.read()
        except RemoteProtocolError as exc:
            _say(f"libxl broke the protocol: {exc}")
            self._lose(ExitStatus.PROTOCOL_ERROR)
            return
        for event in events:
            if isinstance(event.message, Answer) and not self._wire.is_done:
                self._channel.answer(event.message.value)

    # ----- ends -------------------------------------------------------------------

    def _on_signal(self) -> None:
        """Abort; told again, don't even wait for libxl's answer."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._signal_fd, SIGNALFD_INFO_SIZE)
        if self._outcome is not None or self._lost is not None:
            return
        if self._abort.requested:
            self._leave(ExitStatus.STOPPED)
            return
        self._channel.abort()
        self._abort.request()

    def _lose(self, why: ExitStatus) -> None:
        """End soon without libxl: nobody else is there to put the guest right."""
        self._leave(why)
        now = time.monotonic()
        self._unwind_until = now + UNWIND_MAX
        self._end_by = now + ALONE_MAX

    def _leave(self, why: ExitStatus) -> None:
        """Talk to libxl no more; ``why`` becomes the exit status."""
        self._lost = why
        for fd in (self._wire.read_fd, self._wire.write_fd, self._parent_fd):
            self._poll.unregister(fd)
        self._abort.request()
        self._channel.close()

    def _check_end(self) -> None:
        if self._lost is None:
            if self._wire.is_done:
                self._status = ExitStatus.OK
        elif self._outcome is not None or time.monotonic() >= self._unwind_until:
            if self._lost is not ExitStatus.STOPPED:
                self._repair()
            self._status = self._lost

    def _repair(self) -> None:
        """Put the guest of a save right, as nobody else will.

        Not of a checkpointed one: its peer takes over when the stream ends, and two
        of the same guest must not run.
        """
        if self._start.mode is Mode.SAVE:
            repair(
                self._handle,
                self._guest,
                self._start,
                suspend_asked=self._channel.suspend_asked,
                end_by=min(self._end_by, time.monotonic() + ALONE_MAX),
            )


def _say(text: str) -> None:
    sys.stderr.write(f"libxlpy-save-helper: {text}\n")
