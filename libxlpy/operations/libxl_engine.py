"""Have Xen's own libxl-save-helper write the libxc stream, in order of execution.

Our helper writes libxl's records, keeps the heartbeat and makes the hypercalls, as in
every save; where it would run libxenguest it asks for ``SaveLibxc``, and this is the
answer. Xen's helper has a wire of its own, without hello, heartbeat or abort: what it
does is told by its messages and by the stream, and it is stopped by the failure of the
call it waits for, else by SIGTERM. Nothing it says is ever waited for without a bound.

Which program it is the caller says, nothing else does; least of all the process's
environment, as the program runs as root.

Xen: tools/libs/light/libxl_save_callout.c, run_helper(); libxl_save_helper.c.
"""

import asyncio
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.errors import Cancelled, NotSupported, UsageError, shown
from libxlpy.jobs.helper_run import HelperRun
from libxlpy.jobs.operation import Operation, Run
from libxlpy.operations.flags import OWN
from libxlpy.operations.libxl_meter import LibxlMeter
from libxlpy.process.escalation import Step
from libxlpy.process.helper import HelperProcess
from libxlpy.process.link import Link
from libxlpy.process.packages import helper_python
from libxlpy.process.pump import Observer
from libxlpy_protocol.enums import Mode, StreamType, XcFlags
from libxlpy_protocol.fields import brief
from libxlpy_protocol.libxl.session import LibxlParentSession
from libxlpy_protocol.libxl.table import NEWEST
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
from libxlpy_protocol.xen import XTL_INFO

#: Choice of Xen's, alone or followed by ``:`` and its path.
LIBXL = "libxl"
#: Version of the running Xen, in two files.
XEN_VERSION = Path("/sys/hypervisor/version")
PROGRAM = "/usr/lib/xen-{}/bin/libxl-save-helper"
HOW = "name it: helper='libxl:/path/to/libxl-save-helper'"
#: What libxl has for a plain save.
CALLBACKS = callback_mask([Suspend, SwitchQemuLogdirty])
NO_BACK_FD = -1
#: Its name in the report.
NAME = "libxl-save-helper"


# ----- which program ----------------------------------------------------------------


def find_helper(choice: str, backend: Backend) -> Path | None:
    """Give the program that a choice stands for; None for our own helper.

    Args:
        choice: ``"own"``, ``"libxl"`` (the one of the running Xen), ``"libxl:/path"``.
        backend: Where the domain is.

    Raises:
        UsageError: It is no such choice, or there is no such program.
        NotSupported: The running Xen is older than 4.14, or there is none.
    """
    name, colon, path = choice.partition(":")
    if choice == OWN:
        return None
    if name != LIBXL or (colon and not path.startswith("/")):
        raise UsageError(f"helper {brief(choice)} is not own, libxl or libxl:/path")
    return _checked(Path(path or _of_running_xen(backend)))


def _of_running_xen(backend: Backend) -> str:
    """Give the path where the running Xen's tools are."""
    if backend.kind != "xen":
        raise NotSupported(f"the embedded host has no libxl-save-helper; {HOW}")
    try:
        major, minor = (
            int((XEN_VERSION / part).read_text()) for part in ("major", "minor")
        )
    except (OSError, ValueError) as exc:
        raise NotSupported(f"the running Xen's version is unknown; {HOW}") from exc
    if (major, minor) < (4, NEWEST.first):
        text = f"libxl-save-helper of Xen {major}.{minor}: 4.{NEWEST.first} is needed"
        raise NotSupported(text)
    return PROGRAM.format(f"{major}.{minor}")


def _checked(path: Path) -> Path:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as exc:
        raise UsageError(f"helper {path}: {exc.strerror}; {HOW}") from exc
    if not is_file or not os.access(path, os.X_OK):
        raise UsageError(f"helper {path} is no program")
    return path


def save_argv(program: Path, stream_fd: int, domid: int, flags: XcFlags) -> list[str]:
    """Give what starts Xen's helper so that it ends with us, and not by SIGPIPE.

    Raises:
        BackendError: A package is missing.
    """
    numbers = (stream_fd, NO_BACK_FD, domid, flags, CALLBACKS, StreamType.PLAIN)
    return [
        *helper_python("libxlpy_helper.exec_into"),
        *("--parent", str(os.getpid())),
        *(str(program), "--save-domain"),
        *(str(int(number)) for number in numbers),
    ]


class LibxlLink(Link):
    """One helper of Xen's."""

    def __init__(
        self,
        process: HelperProcess,
        deadlines: Deadlines,
        *,
        observer: Observer | None,
        on_event: Callable[[Event], None],
        climbed: Callable[[Step, str], None],
    ) -> None:
        """Take it, just started; see the base class."""
        self.session = LibxlParentSession(Mode.SAVE, CALLBACKS)
        self._on_event = on_event
        self._call: Event | None = None
        super().__init__(
            process, self.session, deadlines, observer=observer, climbed=climbed
        )

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


class LibxlRun(HelperRun[LibxlLink]):
    """One helper of Xen's at work in one job."""

    hopeless = frozenset({"hello", "message"})
    name = NAME

    def __init__(
        self,
        operation: Operation[Any],
        run: Run,
        process: HelperProcess,
        stream_fd: int,
    ) -> None:
        """Take it, just started.

        Args:
            operation: Answers the calls.
            run: The job.
            process: Of :func:`save_argv`.
            stream_fd: Where the libxc stream goes.
        """
        super().__init__(operation, run, run.record)
        self._heard = False
        self._half = 0
        self._link = LibxlLink(
            process,
            self.deadlines,
            observer=operation.env.observer,
            on_event=self._event,
            climbed=self.guarded(self._climbed),
        )
        self.link = self._link
        run.works_with(process.pid)
        process.count_io()
        self._link.pump.on_read = self._watch_messages
        self._link.ended.add_done_callback(self.guarded(self._ended))
        self._meter = LibxlMeter(self._link, stream_fd)
        self._watchdog.arm("hello", self.deadlines.hello)
        self._end = asyncio.create_task(self._until_gone(), name=NAME)

    async def done(self) -> None:
        """Wait for its end; being cancelled makes it stop.

        Raises:
            JobError: The stream was not written.
        """
        try:
            await asyncio.shield(self._end)
        except asyncio.CancelledError:
            self.fail(Cancelled("the save has ended"), Step.ABORT)
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
                self.record.news(event.message)
            case Log():
                self.record.news(event.message)
            case Complete():
                self._completed(event.message, event.call_id)
            case _ if self._link.escalation.step >= Step.ABORT:
                self._link.refuse()
            case _:
                self._calls.begin(event, self._link)

    def _completed(self, complete: Complete, call_id: int) -> None:
        self.complete = complete
        self._meter.look()  # the last figures: it ends once it is answered
        self._link.send(Answer(0), call_id)
        self._judge(complete)

    def _watch_messages(self) -> None:
        """Bound the time that one message takes, however its bytes trickle in.

        The first one takes the place of a hello: it says that the program runs.
        """
        if not self._heard and self._works:
            self._heard = True
            self._watchdog.disarm("hello")
            self._watchdog.arm("stall", self.deadlines.stall)
            self._watchdog.arm("no_progress", self.deadlines.no_progress)
        half = self._link.session.half_message
        if half and half != self._half and self._works:
            self._watchdog.arm("message", self.deadlines.message)
        elif not half:
            self._watchdog.disarm("message")
        self._half = half

    def observe(self, stat: Stat) -> Stat:
        """Take our helper's heartbeat for a look at the stream; give it completed."""
        moved = self._meter.look(stat.bytes_done)
        if self._works and self._heard:
            if moved or self._calls.active:
                self._watchdog.arm("no_progress", self.deadlines.no_progress)
            if moved or self._calls.active or self._meter.is_full():
                self._watchdog.arm("stall", self.deadlines.stall)
        return stat.replace(
            bytes_done=self._meter.total(stat.bytes_done),
            pages=self._meter.pages,
            iteration=self._meter.iteration,
        )

    @property
    def _works(self) -> bool:
        """Whether its end is neither near nor wanted."""
        return self._link.escalation.step < Step.LEAVE

    # ----- the end ----------------------------------------------------------------

    async def _until_gone(self) -> None:
        try:
            await self._helper_gone()
            self.record.later += await self._calls.gone(self.deadlines.repair)
        finally:
            self._watchdog.close()
            self._link.close()

    def _report(self, process: HelperProcess, end: str) -> None:
        for line in process.stderr.text().splitlines():
            self.record.log(XTL_INFO, NAME, shown(line))
        self.record.log(XTL_INFO, NAME, end)
        self.record.frames += self._link.pump.frames

    def _last_words(self, process: HelperProcess) -> str:
        return super()._last_words(process) or self.record.first_error
