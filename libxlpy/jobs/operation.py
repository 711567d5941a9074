"""What is done to a domain, as seen by the code that runs it."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from libxlpy.callbacks import AnswerTo
from libxlpy.errors import JobError, UsageError
from libxlpy.jobs.guard import Guard
from libxlpy.jobs.precopy import Precopy
from libxlpy.jobs.record import Record
from libxlpy.jobs.stall import NO_STALL_POLICY, StallPolicy, StallWatch
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.later import Later
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.process.link import HelperLink
from libxlpy.results.report import GuestFacts, JobReport, Kind, Settled
from libxlpy_protocol.messages import CallMessage, Message, Start, Stat

if TYPE_CHECKING:
    from libxlpy import policies
else:
    policies = Later("libxlpy.policies")

Result = TypeVar("Result")

#: What becomes of the stream.
Access = Literal["read", "write"]


class Run(Protocol):
    """What an operation sees of the job that runs it."""

    record: Record
    stall: StallWatch
    #: Answers ``precopy_policy``.
    precopy: Precopy
    #: The helper was given its job: the guest may be touched.
    started: bool
    #: The first failure.
    failure: JobError | None
    #: The helper, if it looks after the guest from here on.
    guard: Guard | None

    @property
    def link(self) -> HelperLink | None:
        """The helper, once there is one."""

    def enter(self, phase: str) -> None:
        """Take note that the job has entered a phase."""

    def commit(self, phase: str) -> None:
        """Enter a phase that is certain to be known, should we die in it.

        Raises:
            BackendError: It can't be written down.
        """

    def fail(self, error: JobError, step: Step = Step.WORK) -> None:
        """Take note of a failure, the first one wins, and press the helper to leave."""

    def works_with(self, pid: int) -> None:
        """Take note of one more process that works for the job."""


class Operation(ABC, Generic[Result]):
    """One operation: its preparation, start message, callbacks, repair, result.

    The methods stand in the order in which they are called.
    """

    kind: Kind
    access: Access
    #: What the helper hosts, as in messages.
    library = "libxenguest"
    #: Success leaves the guest suspended, for the caller to resume or destroy.
    leaves_suspended = False
    #: The job has ended, but something of it is left for ``recover``.
    is_left = False
    #: Calls that :meth:`answer` knows.
    calls: frozenset[type[Message]]
    #: Number of the domain; known once :meth:`choose` is done.
    domid = -1
    #: Of the domain; "" while it is not known, or there is none yet.
    uuid = ""
    #: The stream, if it is another one than the caller gave; once it is prepared.
    stream_fd = -1

    def __init__(
        self,
        env: Environment,
        *,
        stall: StallPolicy | None = None,
        policy: "policies.AnyPolicy | None" = None,
    ) -> None:
        """Take where it is done, and how it is watched.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            stall: What is done about a job that does not get on.
            policy: Says how a live copy goes on, instead of libxenguest's own.

        Raises:
            UsageError: ``policy`` is none.
        """
        self.env = env
        #: Those of its job.
        self.deadlines = env.deadlines
        self.stall = stall or NO_STALL_POLICY
        self.policy = None if policy is None else policies.checked_policy(policy)
        #: What was done to the guest, for its repair and the journal.
        self.guest = GuestFacts()

    @property
    def what(self) -> str:
        """What it is, as in messages, e.g. ``"save of domain 7"``."""
        return f"{self.kind} of domain {self.domid}"

    # ----- before the job ---------------------------------------------------------

    async def choose(self) -> None:
        """Find out which domain it is about; for some it has to be made first."""

    async def prepare(self) -> None:
        """Look at the domain, which is ours by now, and refuse what can't be done."""

    async def discard(self) -> None:
        """Undo what was made for a job that does not begin; raises nothing."""

    def journal(self) -> dict[str, Any]:
        """Give what of the journal's entry is known from the start."""
        return {
            "kind": self.kind,
            "type": "",
            "on_parent_loss": "abort_and_resume",
            "state_path": "",
        }

    async def check(self, stream: StreamFd) -> None:
        """Look at a stream that is to be read, before anything is done with it.

        Args:
            stream: Where it begins.

        Raises:
            JobError: It can't be used; the job fails by it.
        """

    # ----- the helper -------------------------------------------------------------

    def argv(self) -> list[str]:
        """Give what starts the helper."""
        return self.env.argv(self.env.backend)

    def inherited(self) -> list[int]:
        """Give what the helper inherits besides the stream; asked once, at spawn."""
        return []

    @abstractmethod
    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message.

        Args:
            stream_fd: Number of the stream in the helper.
        """

    def began(self, run: Run) -> None:
        """Take note that the helper has its job."""

    @abstractmethod
    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        """Do what libxenguest asks for; a :class:`JobError` says how it failed."""

    def check_asks(self) -> None:
        """See that a policy is asked how it goes on.

        Raises:
            UsageError: None is; says why.
        """
        text = "copies nothing while its guest runs: no policy is asked"
        raise UsageError(f"the {self.what} {text}")

    def last_pass(self, run: Run) -> bool:
        """Have the pass under way be the last while the guest runs; False: too late."""
        return run.precopy.stop_now()

    def limit(self, call: CallMessage) -> float | None:
        """Give the seconds that :meth:`answer` may take; None: it bounds itself."""
        return self.deadlines.callback

    def phase_limit(self, phase: str) -> float | None:
        """Give the seconds that a phase of the helper may take; None: any time."""
        return None

    def observe(self, stat: Stat) -> Stat:
        """Look at a heartbeat; give it with what the helper itself can't know."""
        return stat

    def guards(self, stream: StreamFd) -> bool:
        """Tell whether the helper is to stay until the caller has settled the end.

        Args:
            stream: Where it went.
        """
        return False

    # ----- the end ----------------------------------------------------------------

    async def examine(self, run: Run, stream: StreamFd) -> None:
        """Once the helper has claimed success and is gone: see whether it is one.

        Args:
            run: The job.
            stream: Where it went.

        Raises:
            JobError: It is not; the job fails by it.
        """

    @abstractmethod
    async def settle(self, run: Run) -> Settled:
        """Once the helper is gone: repair what a failed job left, ask for the guest.

        Every step has its deadline; nothing is raised.
        """

    def interrupt(self, reason: str) -> bool:
        """Give up what :meth:`settle` waits for; the job then fails as cancelled.

        Args:
            reason: Is told.

        Returns:
            Whether it can be given up.
        """
        return False

    async def abandon(self, run: Run) -> Settled | None:
        """Undo a job that succeeded, but whose caller was gone by then.

        Returns:
            What was done; None if it is better left as it is.
        """
        return None

    @abstractmethod
    def result(self, run: Run, report: JobReport) -> Result:
        """Give the result of a job that succeeded."""
