"""The control thread of any helper: it talks with the parent while libxc works.

It never waits for the main thread, which may be stuck in the kernel, and it is the one
that ends the process. What it says and hears depends on the protocol: see the classes
that are derived.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod

from libxlpy_helper.abort import KICK_INTERVAL
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.guest import Guest
from libxlpy_helper.line import Line
from libxlpy_helper.parts import Parts
from libxlpy_helper.startup import say
from libxlpy_helper.wire import ParentGoneError, PipeWire
from libxlpy_helper.xen.xenguest import Handle
from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.messages import Complete, Start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, NoReturn

    from libxlpy_protocol.receiver import Event

HEARTBEAT: Final = 0.4  # seconds; the protocol promises one every half second
# Seconds from the loss of the parent to our end, repair included. A repair takes some
# milliseconds; the bounds are for peers that hang. No hypercall of it depends on them:
# a busy machine may make us late, but not leave a guest suspended.
ALONE_MAX: Final = 2.0
UNWIND_MAX: Final = 0.6  # seconds of those that libxc gets to clean up by itself
SIGNALFD_INFO_SIZE: Final = 128  # bytes; struct signalfd_siginfo
SIGNO_SIZE: Final = 4  # bytes; its first member
STOP_AND_COPY: Final = signal.SIGUSR2  # all programs of ours have it blocked
FOREVER: Final = float("inf")


class ControlLoop(ABC):
    """One per process; ``run_beside`` is for the main thread, the rest is the loop."""

    program = "libxlpy-helper"
    peer = "the parent"
    alone_max = ALONE_MAX
    unwind_max = UNWIND_MAX

    def __init__(
        self, pipes: PipeWire, parts: Parts, signal_fd: int, handle: Handle
    ) -> None:
        """``handle`` is this thread's own."""
        self._pipes = pipes
        self._waker = parts.waker
        self._outbox = parts.outbox
        self._channel = parts.channel
        self._abort = parts.abort
        self._signal_fd = signal_fd
        self._handle = handle

        # Not poll: what it looks at may change while it waits.
        self._poll = select.epoll()
        for fd in (pipes.read_fd, self._waker.fd, signal_fd):
            self._poll.register(fd, select.EPOLLIN)
        self._channel.line = Line(
            *(pipes, self._outbox, self._channel.let_go, self._poll),
            self._may_go_on,
        )
        self._look_at = time.monotonic()  # when to look at the guest
        self._outcome: Complete | None = None
        self._ends = threading.Lock()  # one outcome, whichever thread has it
        self._lost: ExitStatus | None = None  # why there is no parent to talk to
        self._unwind_until = FOREVER
        self._end_by = FOREVER
        self._status: ExitStatus | None = None

    # ----- for the main thread ----------------------------------------------------

    def run_beside(self, work: Callable[[], Complete]) -> NoReturn:
        """Start the thread, do the operation in this one, wait for the end.

        Args:
            work: Does it; what it returns is told the parent.
        """
        thread = threading.Thread(target=self._run, name="control")
        thread.start()
        self._complete(work())
        thread.join()
        raise AssertionError("the control thread ends the process")

    def _complete(self, outcome: Complete) -> None:
        """Tell how the operation ended; the first one counts."""
        with self._ends:
            if self._outcome is not None:
                return
            self._tell_outcome(outcome)
            self._outcome = outcome
        self._waker.wake()

    def _tell_outcome(self, outcome: Complete) -> None:
        self._outbox.put(outcome)

    # ----- the thread -------------------------------------------------------------

    def _run(self) -> None:
        """Serve until the process has nothing more to do, then end it."""
        status = ExitStatus.BUG
        try:
            while self._status is None:
                self._turn()
            status = self._status
        except Exception as exc:  # the main thread must not wait for ever
            sys.excepthook(type(exc), exc, exc.__traceback__)
        finally:
            self._end(status)

    def _turn(self) -> None:
        ready = dict(self._poll.poll(self._timeout()))
        if self._waker.fd in ready:
            self._waker.clear()
        if self._signal_fd in ready:
            self._take_signal()
        try:
            self._serve(ready)
        except ParentGoneError:
            self._lose(ExitStatus.PARENT_LOST)
        if self._abort.is_pressing and self._is_busy:
            self._abort.kick()
        self._check_end()

    def _take_signal(self) -> None:
        info = b""
        with contextlib.suppress(BlockingIOError):
            info = os.read(self._signal_fd, SIGNALFD_INFO_SIZE)
        if int.from_bytes(info[:SIGNO_SIZE], sys.byteorder) == STOP_AND_COPY:
            self._on_stop_and_copy()
        else:
            self._on_signal()

    def _timeout(self) -> float | None:
        now = time.monotonic()
        until = min(self._look_at, self._unwind_until, self._end_by)
        if self._abort.is_pressing and self._is_busy:
            until = min(until, now + KICK_INTERVAL)
        return None if until == FOREVER else max(0.0, until - now)

    @property
    def _is_busy(self) -> bool:
        """Whether the main thread is at the operation."""
        return self._outcome is None

    def _read(self) -> None:
        try:
            for event in self._pipes.read():
                self._take(event)
        except RemoteProtocolError as exc:
            self._lose(ExitStatus.PROTOCOL_ERROR)
            self._say(f"{self.peer} broke the protocol: {exc}")

    def _write(self) -> None:
        self._pipes.write(calls=not self._channel.closed)
        self._watch()
        if not self._pipes.is_blocked and not self._pipes.is_idle:
            self._waker.wake()  # its share of this turn is used up

    def _give_up_if_ended(self, guest: Guest) -> bool:
        """End at once if the guest has: libxc may wait long for a reader of its stream.

        Or go on with another domain of its domid, whose log-dirty mode its clean-up
        would end. There is nothing to unwind.
        """
        if not guest.has_ended():
            return False
        self._complete(Complete(-1, errno.ESTALE, aborted=False))
        return True

    # ----- ends -------------------------------------------------------------------

    def _set_time_to_end(self) -> None:
        now = time.monotonic()
        self._unwind_until = now + self.unwind_max
        self._end_by = now + self.alone_max

    def _check_end(self) -> None:
        if self._status is not None:
            return
        if self._lost is None:
            if self._is_delivered:
                self._status = ExitStatus.OK
        elif not self._is_busy or time.monotonic() >= self._unwind_until:
            self._repair()
            self._status = self._lost

    def _end(self, status: ExitStatus) -> NoReturn:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(status)

    def _put_right(self, guest: Guest, start: Start) -> None:
        """Do what the parent would do after a failed save."""
        from libxlpy_helper.repair import repair  # the main thread has loaded it

        asked = self._channel.suspend_asked
        end_by = min(self._end_by, time.monotonic() + ALONE_MAX)
        repair(self._handle, guest, start, suspend_asked=asked, end_by=end_by)

    def _say(self, text: str) -> None:
        say(self.program, text)

    # ----- what the protocol says -------------------------------------------------

    @abstractmethod
    def _may_go_on(self) -> bool:
        """Whether the main thread may take an answer by itself, which asks this."""

    @abstractmethod
    def _serve(self, ready: dict[int, int]) -> None:
        """Hear what came and say what there is.

        Args:
            ready: The descriptors that poll has found.

        Raises:
            ParentGoneError: The parent closed a pipe, or died.
        """

    @abstractmethod
    def _take(self, event: Event) -> None:
        """Take one message."""

    @abstractmethod
    def _watch(self) -> None:
        """Have poll look at a full pipe, and no longer at one that isn't."""

    @abstractmethod
    def _on_signal(self) -> None:
        """A signal that ends us has come."""

    def _on_stop_and_copy(self) -> None:
        """Somebody wants the guest suspended after this pass."""
        self._say("SIGUSR2 is ignored: whoever asked for this save decides on passes")

    @abstractmethod
    def _lose(self, why: ExitStatus) -> None:
        """Go on without a parent; ``why`` becomes the exit status."""

    @property
    @abstractmethod
    def _is_delivered(self) -> bool:
        """Whether the parent has the outcome."""

    @abstractmethod
    def _repair(self) -> None:
        """Put the guest right, if that is ours to do."""
