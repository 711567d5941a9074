"""``xc_domain_save`` and ``xc_domain_restore`` for toolstacks that do the rest.

The caller's coroutines answer libxenguest; nothing is repaired here but what a domain
op can: log-dirty mode is switched off and the guest's state asked for.
"""

import time

from libxlpy.callbacks import (
    AnswerTo,
    RestoreCallbacks,
    SaveCallbacks,
    await_callback,
    offered,
)
from libxlpy.domain import hypercalls
from libxlpy.domain.info import guest_state
from libxlpy.domain.repair import ask_guest, failed
from libxlpy.errors import DomainReused, UsageError, errno_text
from libxlpy.jobs.operation import Access, Operation, Run
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.operations.flags import NOT_LIVE, SuspendFlags, xc_flags
from libxlpy.operations.input import check_input
from libxlpy.process.environment import Environment
from libxlpy.process.link import uuid_bytes
from libxlpy.results.of_jobs import RestoreResult, SaveResult
from libxlpy.results.report import GuestState, JobReport, Kind, Settled
from libxlpy.streams import Format
from libxlpy_protocol.enums import Image, Mode, Op, StreamType
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.fields import brief
from libxlpy_protocol.messages import CallMessage, Checkpoint, Message, Start, Suspend
from libxlpy_protocol.table import callback_mask
from libxlpy_protocol.value import Value

U32_MAX = (1 << 32) - 1


class Rings(Value, kw_only=True):
    """Event channels of a domain's xenstore and console rings, and their other ends."""

    store_evtchn: int = 0
    store_domid: int = 0
    console_evtchn: int = 0
    console_domid: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no number of an event channel or domain."""
        for name, value in vars(self).items():
            if type(value) is not int or not 0 <= value <= U32_MAX:
                raise UsageError(f"{name} {brief(value)}: not a number of 32 bits")


#: For a guest without rings.
NO_RINGS = Rings()


class RawSave(Operation[SaveResult]):
    """One ``xc_domain_save``."""

    kind: Kind = "xc_domain_save"
    access: Access = "write"

    def __init__(
        self,
        env: Environment,
        domid: int,
        callbacks: SaveCallbacks,
        *,
        flags: SuspendFlags = NOT_LIVE,
        image: Image = Image.RAW,
        stream_type: StreamType = StreamType.PLAIN,
    ) -> None:
        """Save a domain.

        After a failure log-dirty mode is switched off; resuming the guest is for the
        caller, who suspended it.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            domid: Of the domain.
            callbacks: What libxenguest asks for.
            flags: LIVE, DEBUG.
            image: RAW writes the libxc stream only, LIBXL libxl's records around it.
            stream_type: PLAIN, or REMUS for checkpoints, which needs the callbacks
                ``checkpoint`` and ``postcopy``, and LIVE.
        """
        super().__init__(env)
        self.domid = hypercalls.check_domid(domid)
        self.calls = offered(callbacks)
        self._callbacks = callbacks
        self._flags = xc_flags(flags)
        self._image = image
        self._stream_type = checked_type(stream_type, self.calls)

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        plain = self._stream_type is StreamType.PLAIN
        return Start(
            Mode.SAVE if plain else Mode.REMUS,
            domid=self.domid,
            flags=self._flags,
            callback_mask=callback_mask(self.calls),
            stream_type=self._stream_type,
            image=self._image,
            stream_fd=stream_fd,
            uuid=uuid_bytes(self.uuid),
        )

    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        """Await the caller's coroutine."""
        answer = await await_callback(self._callbacks, call)
        if isinstance(call, Suspend) and self._stream_type is StreamType.PLAIN:
            run.record.meter.suspended(time.monotonic())
        return answer

    async def settle(self, run: Run) -> Settled:
        """After a failure switch log-dirty mode off; ask where the guest is."""
        if run.failure is None or not run.started:
            return await ask_guest(self.env, self.domid, self.uuid)
        try:
            async with self.env.hypercalls() as ops:
                result = await ops.op(Op.LOGDIRTY_OFF, self.domid, uuid=self.uuid)
                off = "log-dirty mode off"
                facts = await hypercalls.find(ops, self.domid, self.uuid)
                if result.retval < 0:
                    off = failed(off, errno_text(result.errnoval))
                return Settled(guest_state(facts), (off,))
        except DomainReused as exc:
            return Settled(GuestState.GONE, (str(exc),))
        except LibxlpyError as exc:
            return Settled(repairs=(f"hypervisor could not be asked: {exc}",))

    def result(self, run: Run, report: JobReport) -> SaveResult:
        """Give what a save that succeeded has done."""
        return SaveResult.of(report, run.record.stat)


class RawRestore(Operation[RestoreResult]):
    """One ``xc_domain_restore`` into a domain that the caller has built."""

    kind: Kind = "xc_domain_restore"
    access: Access = "read"

    def __init__(
        self,
        env: Environment,
        domid: int,
        callbacks: RestoreCallbacks,
        rings: Rings,
        stream_type: StreamType = StreamType.PLAIN,
    ) -> None:
        """Restore into a domain.

        A stream with checkpoints is read until it ends, or its writer is gone, or
        ``checkpoint`` answers 2; the domain is then as at the last checkpoint that was
        complete, and this a success.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            domid: Of the empty domain.
            callbacks: What libxenguest asks for.
            rings: Event channels of the domain's xenstore and console rings.
            stream_type: As it was saved; REMUS needs the callback ``checkpoint``.
        """
        super().__init__(env)
        self.domid = hypercalls.check_domid(domid)
        self.calls = offered(callbacks)
        self._callbacks = callbacks
        self._rings = rings
        self._stream_type = checked_type(stream_type, self.calls)

    async def check(self, stream: StreamFd) -> None:
        """See that a file is whole; one with checkpoints may end at any."""
        if self._stream_type is StreamType.PLAIN:
            await check_input(stream, Format.LIBXC, self.deadlines.check)

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        return Start(
            Mode.RESTORE,
            domid=self.domid,
            callback_mask=callback_mask(self.calls),
            stream_type=self._stream_type,
            image=Image.RAW,
            stream_fd=stream_fd,
            store_evtchn=self._rings.store_evtchn,
            store_domid=self._rings.store_domid,
            console_evtchn=self._rings.console_evtchn,
            console_domid=self._rings.console_domid,
        )

    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        """Await the caller's coroutine."""
        return await await_callback(self._callbacks, call)

    async def settle(self, run: Run) -> Settled:
        """Ask where the guest is; the domain is the caller's in any case."""
        return await ask_guest(self.env, self.domid)

    def result(self, run: Run, report: JobReport) -> RestoreResult:
        """Give what a restore that succeeded has done."""
        return RestoreResult.of(report, run.record.stat, run.record.restore_results)


def checked_type(stream_type: object, calls: frozenset[type[Message]]) -> StreamType:
    """Give a stream's type, if it is one and what it needs is offered.

    Raises:
        UsageError: It is one of these.
    """
    if not isinstance(stream_type, StreamType):
        known = ", ".join(each.name for each in StreamType)
        raise UsageError(f"stream_type {brief(stream_type)}: must be one of {known}")
    if stream_type is not StreamType.PLAIN and Checkpoint not in calls:
        text = f"stream_type {stream_type.name} needs the callback checkpoint"
        raise UsageError(text)
    return stream_type
