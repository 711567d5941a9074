"""What becomes of a job whose process died, and the steps to it."""

import enum
from collections.abc import Awaitable, Callable, Sequence

from libxlpy.results.report import ImageState
from libxlpy_protocol.value import Value


class Outcome(enum.Enum):
    """What became of a job."""

    #: It has reached its aim all the same.
    FINISHED = "finished"
    #: Everything is as before it.
    ROLLED_BACK = "rolled back"
    #: There is no guest any more; what was left of the job is removed.
    GUEST_GONE = "guest gone"
    #: Nobody here knows which end of a migration has the guest; it is not touched.
    OPEN = "open"
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


class Step(Value):
    """One thing to do; ``fact`` is told once it is done."""

    fact: str
    act: Callable[[], Awaitable[object]]


class Decision(Value):
    """What becomes of the job."""

    outcome: Outcome
    text: str
    steps: Sequence[Step] = ()
    image: ImageState = ImageState.PARTIAL

    def also(self, *steps: Step) -> "Decision":
        """Give it with more to do, behind all else."""
        return self.replace(steps=(*self.steps, *steps))
