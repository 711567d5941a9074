"""The control thread of the drop-in: libxl's pipes, signals, and libxl's end.

As :mod:`libxlpy_helper.control`, with the rules of libxl's protocol in place of ours:
an abort is a SIGTERM, and libxl answers even the last message.
"""

from __future__ import annotations

import select
import time

from libxlpy_helper.control_loop import FOREVER, HEARTBEAT, ControlLoop
from libxlpy_helper.dropin.wire import LibxlWire
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.guest import Guest
from libxlpy_helper.parts import Parts
from libxlpy_helper.repair import prepare
from libxlpy_helper.wire import ParentGoneError
from libxlpy_helper.xen.xenguest import Handle
from libxlpy_protocol.enums import Mode, StreamType
from libxlpy_protocol.messages import Answer, Start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libxlpy_protocol.receiver import Event


class LibxlControl(ControlLoop):
    """As the base class; what there is to do is known from the start."""

    program = "libxlpy-save-helper"
    peer = "libxl"

    def __init__(
        self,
        wire: LibxlWire,
        parts: Parts,
        signal_fd: int,
        handle: Handle,
        *,
        start: Start,
        parent_fd: int,
    ) -> None:
        """``parent_fd`` is libxl's pidfd."""
        prepare(start)
        super().__init__(wire, parts, signal_fd, handle)
        self._wire = wire
        self._start = start
        self._guest = Guest(handle, start.domid)
        self._parent_fd = parent_fd
        self._poll.register(parent_fd, select.EPOLLIN)
        self._poll.register(wire.write_fd, 0)  # its other end may close all the same
        if start.mode is not Mode.SAVE:
            self._look_at = FOREVER

    # ----- the thread -------------------------------------------------------------

    def _serve(self, ready: dict[int, int]) -> None:
        self._look_at_guest()
        has_news = self._wire.read_fd in ready or self._wire.is_handed
        if self._lost is None and has_news:
            self._read()
        if self._lost is not None or self._wire.is_done:
            return
        broken = ready.get(self._wire.write_fd, 0) & select.EPOLLERR
        if broken or self._parent_fd in ready:
            raise ParentGoneError
        self._write()

    def _look_at_guest(self) -> None:
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + HEARTBEAT
        if self._outcome is not None or self._lost is not None:
            self._look_at = FOREVER
        elif self._give_up_if_ended(self._guest):
            self._say(f"domain {self._start.domid} has ended")

    def _may_go_on(self) -> bool:
        return self._outcome is None

    def _take(self, event: Event) -> None:
        if isinstance(event.message, Answer) and not self._wire.is_done:
            self._channel.answer(event.message.value)

    def _watch(self) -> None:
        wanted = select.EPOLLOUT if self._wire.is_blocked else 0
        self._poll.modify(self._wire.write_fd, wanted)

    # ----- ends -------------------------------------------------------------------

    def _on_stop_and_copy(self) -> None:
        """Our own process has libxl fail over: the stream is at its end."""
        if self._start.mode is not Mode.RESTORE:
            super()._on_stop_and_copy()
        elif self._start.stream_type is StreamType.REMUS and self._outcome is None:
            self._abort.end_streams()

    def _on_signal(self) -> None:
        """Abort; told again, don't even wait for libxl's answer."""
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
        self._set_time_to_end()

    def _leave(self, why: ExitStatus) -> None:
        """Talk to libxl no more."""
        self._lost = why
        self._wire.leave(self._poll)
        self._poll.unregister(self._parent_fd)
        self._abort.request()
        self._channel.close()

    @property
    def _is_delivered(self) -> bool:
        return self._wire.is_done

    def _repair(self) -> None:
        """Put the guest of a save right, as nobody else will.

        Not of a checkpointed one: its peer takes over when the stream ends, and two
        of the same guest must not run. Nor after a second SIGTERM: libxl is there.
        """
        if self._start.mode is Mode.SAVE and self._lost is not ExitStatus.STOPPED:
            self._put_right(self._guest, self._start)
