"""What became of a job whose process died, as ``recover`` tells it."""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from libxlpy.errors import ParentLost
from libxlpy.results import GuestState, ImageState


class Outcome(enum.Enum):
    """What became of a job."""

    #: It has reached its aim all the same.
    FINISHED = "finished"
    #: Everything is as before it.
    ROLLED_BACK = "rolled back"
    #: There is no guest any more; what was left of the job is removed.
    GUEST_GONE = "guest gone"
    #: The domain is not touched, the text says why.
    LEFT = "left alone"
    #: Its helper goes on, as it was told to; or another recovery is at it.
    RUNNING = "still running"
    #: What is written of it can't be read or trusted; nothing was touched.
    UNREADABLE = "unreadable"
    #: Something could not be put right; the next recover tries again.
    FAILED = "failed"


#: Nothing of these is left to do.
SETTLED = frozenset(
    {Outcome.FINISHED, Outcome.ROLLED_BACK, Outcome.GUEST_GONE, Outcome.LEFT}
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """One job of a dead process, and what became of it."""

    #: Name as `xlpy jobs` gives it; "" if unreadable.
    job: str
    #: E.g. ``"save of domain 7"``.
    what: str
    domid: int
    outcome: Outcome
    #: Why, and what is left to do, in one line.
    text: str
    #: The job's own outcome; None if unreadable.
    error: ParentLost | None = None

    @property
    def settled(self) -> bool:
        """Tell whether nothing is left to do."""
        return self.outcome in SETTLED

    @property
    def guest(self) -> GuestState:
        """Where the guest is, as the hypervisor said."""
        return GuestState.UNKNOWN if self.error is None else self.error.guest

    @property
    def image(self) -> ImageState:
        """What the stream holds."""
        return ImageState.NONE if self.error is None else self.error.image

    @property
    def repairs(self) -> tuple[str, ...]:
        """What was done; with dry_run what would be done."""
        return () if self.error is None else self.error.repairs

    def __str__(self) -> str:
        """Give it in one line."""
        if self.error is None:
            return f"domain {self.domid}: {self.outcome.value}: {self.text}"
        facts = f"; {', '.join(self.repairs)}" if self.repairs else ""
        return (
            f"{self.job}: {self.what} {self.outcome.value}: {self.text} "
            f"(guest {self.guest.value}){facts}"
        )


# ----- on the way there ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; ``fact`` is told once it is done."""

    fact: str
    act: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the job."""

    outcome: Outcome
    text: str
    steps: list[Step] = field(default_factory=list)
    image: ImageState = ImageState.PARTIAL
