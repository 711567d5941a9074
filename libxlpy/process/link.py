"""One helper with its conversation: spawn, hello, domain ops, hanging up.

A :class:`Link` is any helper process on any wire, a :class:`HelperLink` our own helper
on our own. Jobs use it for their operation; listing, pausing, repairing ... use a
helper in ``ops`` mode, see ``environment``.
"""

import asyncio
import errno
import uuid as uuids
from abc import ABC, abstractmethod
from collections.abc import Callable

from libxlpy.aio import Bell
from libxlpy.deadlines import Deadlines
from libxlpy.errors import BackendError, DomainOpError, DomainReused
from libxlpy.process.escalation import Escalation, Step
from libxlpy.process.helper import HelperProcess
from libxlpy.process.presence import ALIVE, Presence
from libxlpy.process.pump import Conversation, Observer, Pump
from libxlpy_protocol.enums import Op
from libxlpy_protocol.errors import LocalProtocolError
from libxlpy_protocol.fields import TEXT_MAX, clip
from libxlpy_protocol.hello import MIN_VERSION, PACKAGE, VERSION
from libxlpy_protocol.ledger import MAX_OPS
from libxlpy_protocol.messages import (
    Abort,
    Alive,
    AskToSuspend,
    DomainOp,
    Hello,
    LetGo,
    Message,
    OpResult,
    SuspendEvent,
)
from libxlpy_protocol.session import Event, ParentSession

#: Feature of a helper that can use a guest's suspend event channel.
SUSPEND_EVENT = "suspend-event"
#: Why a helper gives no answer, and what can be done.
OVERLOADED = "the machine is overloaded, or its hypervisor hangs: try again"
#: What is asked of a helper's control thread.
Question = DomainOp | AskToSuspend | Alive | LetGo


class Link(ABC):
    """One process and what is said to and by it, on the wire of its session."""

    def __init__(
        self,
        process: HelperProcess,
        session: Conversation,
        deadlines: Deadlines,
        *,
        observer: Observer | None = None,
        climbed: Callable[[Step, str], None] | None = None,
    ) -> None:
        """Take a process that was just started, and close it at the end.

        Args:
            process: See ``helper``.
            session: Our end of its wire.
            deadlines: Of each step of its end, and of each request.
            observer: Testing hook, see ``pump``.
            climbed: Told each step the escalation climbs by itself.
        """
        self._deadlines = deadlines
        #: Set once, when nothing more will be read: None at a clean EOF, else the
        #: helper's error, or ours.
        self.ended: asyncio.Future[Exception | None] = (
            asyncio.get_running_loop().create_future()
        )
        self.process = process
        self.pump = Pump(
            self.process,
            session,
            on_event=self._event,
            on_end=self._end,
            observer=observer,
        )
        self.escalation = Escalation(
            self.process,
            deadlines,
            abort=self._abort,
            climbed=climbed or (lambda step, bound: None),
        )

    def send(self, message: Message, call_id: int = 0) -> bool:
        """Send a message; False if the conversation no longer takes it."""
        try:
            self.pump.send(message, call_id)
        except LocalProtocolError:
            return False
        return True

    @abstractmethod
    def _event(self, event: Event) -> None:
        """Take what it says."""

    @abstractmethod
    def _abort(self) -> None:
        """Have it stop its work and clean up."""

    def _end(self, error: Exception | None) -> None:
        self.ended.set_result(error)

    def said(self) -> int:
        """Give the bytes that it has said to us, on whatever pipe."""
        return self.pump.taken + self.process.stderr.taken

    def written(self) -> int | None:
        """Give the bytes that it has written elsewhere: all, once it is dead or done.

        As the kernel counts them; None if it does not tell.
        """
        io = self.process.io or self.process.io_counts()
        return None if io is None else io.write_chars - self.said()

    async def drain(self) -> None:
        """Wait until all that a dead helper had said was read.

        Bounded: a helper that is stuck, or a child of it, may hold the pipe open.
        """
        seconds = self._deadlines.exit_after_complete
        await asyncio.wait([self.ended], timeout=seconds)

    def close(self) -> None:
        """Close all descriptors; the helper must be dead or given up."""
        self.pump.close()
        if not self.ended.done():
            self._end(None)
        self.process.close()


class HelperLink(Link):
    """One helper of our own."""

    def __init__(
        self,
        process: HelperProcess,
        deadlines: Deadlines,
        *,
        observer: Observer | None = None,
        on_event: Callable[[Event], None] | None = None,
        climbed: Callable[[Step, str], None] | None = None,
    ) -> None:
        """Take a helper; :meth:`hello` begins the conversation.

        Args:
            process: The helper, just started.
            deadlines: As of the base class.
            observer: As of the base class.
            on_event: Gets every message but hello and op results.
            climbed: Told each step the escalation climbs by itself.
        """
        self.session = ParentSession()
        self.greeted: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._on_event = on_event
        self._ops: dict[int, asyncio.Future[OpResult]] = {}
        self._op_slots = asyncio.Semaphore(MAX_OPS)
        #: The guest's suspend event channel.
        self.suspend_event = Bell()
        super().__init__(
            process, self.session, deadlines, observer=observer, climbed=climbed
        )
        #: Goes into the abort message.
        self.abort_reason = ""
        self._presence = Presence(self.send)

    # ----- conversation -----------------------------------------------------------

    def hello(self) -> None:
        """Say hello: comes first."""
        self.pump.send(Hello(VERSION, MIN_VERSION, PACKAGE))

    def _abort(self) -> None:
        self.send(Abort(clip(self.abort_reason, TEXT_MAX)))

    def _event(self, event: Event) -> None:
        match event.message:
            case Hello():
                self.greeted.set_result(event.message)
            case OpResult():
                waiting = self._ops.pop(event.call_id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(event.message)
            case SuspendEvent():
                self.suspend_event.ring()
            case _ if self._on_event is not None:
                self._on_event(event)

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        self._presence.end()
        for waiting in self._ops.values():
            waiting.cancel()
        self._ops.clear()

    # ----- domain ops -------------------------------------------------------------

    async def op(
        self, op: Op, domid: int, argument: int = 0, *, uuid: str = ""
    ) -> OpResult:
        """Have a hypercall made, within the deadline ``domain_op``.

        Args:
            op: What to do.
            domid: To which domain.
            argument: See ``Op``.
            uuid: Of the domain that is meant; "" for whichever has the domid. The
                helper compares right before it acts.

        Raises:
            DomainReused: Another domain has the domid; nothing was done to it.
            BackendError: The helper is gone or did not answer in time.
        """
        meant = uuid_bytes(uuid)
        return await self._request(op.name, DomainOp(op, domid, argument, meant))

    async def ask_to_suspend(self, ask: AskToSuspend) -> OpResult:
        """Have a guest asked to suspend by its event channel; errors as of :meth:`op`.

        ``suspend_event`` rings when it may have done so.
        """
        if SUSPEND_EVENT not in self.greeted.result().features:
            return OpResult(-1, errno.EOPNOTSUPP)
        return await self._request("event channel", ask)

    async def _request(self, what: str, message: DomainOp | AskToSuspend) -> OpResult:
        result = await self._result(f"{what} of domain {message.domid}", message)
        if result.retval < 0 and result.errnoval == errno.ESTALE and message.uuid:
            raise DomainReused(message.domid)
        return result

    async def _result(self, what: str, message: Question) -> OpResult:
        async with self._op_slots:
            waiting: asyncio.Future[OpResult] = (
                asyncio.get_running_loop().create_future()
            )
            call_id = 0
            try:
                async with asyncio.timeout(self._deadlines.domain_op):
                    call_id = self.pump.send(message)
                    self._ops[call_id] = waiting
                    await asyncio.wait([waiting])
            except LocalProtocolError as exc:
                raise BackendError(f"{what} not possible: {exc}") from exc
            except TimeoutError as exc:
                text = f"{what}: no answer in {self._deadlines.domain_op:g} s"
                raise BackendError(f"{text}; {OVERLOADED}") from exc
        if waiting.cancelled():
            raise BackendError(f"{what}: the helper is gone")
        return waiting.result()

    async def checked_op(
        self, op: Op, domid: int, argument: int = 0, *, uuid: str = ""
    ) -> OpResult:
        """As :meth:`op`, for ops that must succeed.

        Raises:
            DomainReused: Another domain has the domid; nothing was done to it.
            DomainOpError: The hypercall failed.
            BackendError: The helper is gone or did not answer in time.
        """
        result = await self.op(op, domid, argument, uuid=uuid)
        if result.retval < 0:
            raise DomainOpError(op.name, domid, result.retval, result.errnoval)
        return result

    # ----- that we are there ------------------------------------------------------

    def show_presence(self, seconds: float) -> None:
        """Have it take so long a silence of ours, its guest suspended, for our loss."""
        if ALIVE in self.greeted.result().features:
            self._presence.begin(seconds)

    async def end_presence(self) -> None:
        """Have it no longer care for our silence; its answer shows that it did not.

        Raises:
            BackendError: It is gone, or did not answer in time.
        """
        self._presence.end()
        if ALIVE in self.greeted.result().features:
            await self._result("our presence", Alive(0))

    async def let_go(self) -> None:
        """Have it leave its guest alone, whatever becomes of us; errors as above."""
        self._presence.end()
        await self._result("giving the guest away", LetGo())

    # ----- end --------------------------------------------------------------------

    @property
    def works(self) -> bool:
        """Tell whether it can still be talked to."""
        return not self.ended.done() and self.escalation.step is Step.WORK

    def close(self) -> None:
        """See the base class."""
        super().close()
        self.greeted.cancel()


def uuid_bytes(uuid: str) -> bytes:
    """Give a uuid as it goes into messages; none for ""."""
    return uuids.UUID(uuid).bytes if uuid else b""
