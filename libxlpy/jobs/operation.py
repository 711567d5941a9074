"""What a job is, as seen by the code that runs it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from libxlpy.results import GuestState, JobReport
from libxlpy_protocol.messages import CallMessage, Message, Start, Stat

if TYPE_CHECKING:
    from libxlpy.jobs.run import JobRun

Result = TypeVar("Result")
AnswerTo = int | bytes | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What was found and repaired once the helper was gone."""

    guest: GuestState = GuestState.UNKNOWN
    repairs: tuple[str, ...] = ()

    def also(self, *facts: str) -> "Settled":
        """Give the same with more facts at the end."""
        return replace(self, repairs=(*self.repairs, *facts))


class Plan(ABC, Generic[Result]):
    """One job: its start message, its callbacks, its repair, its result."""

    #: As in messages, e.g. ``"save of domain 7"``.
    what: str
    domid: int
    #: Of the domain; "" while it is not known, or there is none yet.
    uuid = ""
    #: Calls that :meth:`answer` knows.
    calls: frozenset[type[Message]]
    #: What the helper hosts, as in messages.
    library = "libxenguest"
    #: Success leaves the guest suspended, for the caller to resume or destroy.
    leaves_suspended = False

    @abstractmethod
    def journal(self) -> dict[str, Any]:
        """Give what of the journal's entry the plan knows from the start."""

    def facts(self) -> dict[str, Any]:
        """Give what of the journal's entry the plan finds out on the way."""
        return {}

    def noted_by(self, note: Callable[[], None]) -> None:
        """Take whom to tell of new :meth:`facts`, before they are acted on."""

    @abstractmethod
    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message.

        Args:
            stream_fd: Number of the stream in the helper.
        """

    @abstractmethod
    async def answer(self, call: CallMessage, run: "JobRun") -> AnswerTo:
        """Do what libxenguest asks for; a :class:`JobError` says how it failed."""

    @abstractmethod
    def limit(self, call: CallMessage) -> float | None:
        """Give the seconds that :meth:`answer` may take; None: it bounds itself."""

    def inherited(self) -> list[int]:
        """Give what the helper inherits besides the stream; asked once, at spawn."""
        return []

    def phase_limit(self, phase: str) -> float | None:
        """Give the seconds that a phase of the helper may take; None: any time."""
        return None

    def observe(self, stat: Stat) -> Stat:
        """Look at a heartbeat; give it with what the helper itself can't know."""
        return stat

    @abstractmethod
    async def settle(self, run: "JobRun") -> Settled:
        """Once the helper is gone: repair what a failed job left, ask for the guest.

        Every step has its deadline; nothing is raised.
        """

    async def discard(self) -> None:
        """Undo what was made for a job that does not begin; raises nothing."""
        return

    async def abandon(self, run: "JobRun") -> Settled | None:
        """Undo a job that succeeded, but whose caller was gone by then.

        Returns:
            What was done; None if it is better left as it is.
        """
        return None

    @abstractmethod
    def result(self, run: "JobRun", report: JobReport) -> Result:
        """Give the result of a job that succeeded."""
