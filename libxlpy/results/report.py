"""What a job ended with: guest and image as found, repairs done, the whole story.

Every job ends as one result of this module or as one error of ``errors``; both carry
the same :class:`JobReport`.
"""

import enum
from collections.abc import Callable
from typing import Literal, Self

from libxlpy.results.statistics import Statistics
from libxlpy_protocol.value import Value

DomainType = Literal["pv", "pvh", "hvm"]
#: What a job is, as in messages and in the journal.
Kind = Literal[
    "save",
    "restore",
    "migrate",
    "receive",
    "remus",
    "backup",
    "xc_domain_save",
    "xc_domain_restore",
]
#: In the fact of a repair: it could not be done; what was in the way may follow.
FAILED = ": FAILED"


class GuestState(enum.Enum):
    """Where the guest is, as the hypervisor said after the job had ended."""

    #: Scheduled, neither paused nor shut down.
    RUNNING = "running"
    #: In shutdown(suspend): its state is frozen until it is resumed or destroyed.
    SUSPENDED = "suspended"
    #: Paused by a toolstack; can't run, can't answer.
    PAUSED = "paused"
    #: Shut down for another reason than suspend (poweroff, reboot, crash).
    SHUTDOWN = "shut down"
    #: No such domain any more, or dying.
    GONE = "gone"
    #: The hypervisor could not be asked.
    UNKNOWN = "unknown"


def _nothing() -> None:
    """Tell nobody."""


class GuestFacts:
    """What was done to one guest: it decides what is to be repaired.

    Shared by who suspends it, its device model, the repair and the journal.
    """

    #: The request to suspend may have reached it.
    asked: bool = False
    #: It took the request; or it was asked by what can't be taken back.
    acked: bool = False
    #: The hypervisor said shutdown(suspend).
    suspended: bool = False
    #: It was so before we asked; then it is not ours to resume.
    was_suspended: bool = False
    #: Pauses of a toolstack that were taken off it, for it to suspend: to be put back
    #: before it is resumed.
    lifted: int = 0
    #: Its device model may log dirty pages.
    logging: bool = False
    #: Its device model may have been stopped.
    stopped: bool = False

    def __init__(self, **facts: int) -> None:
        #: Called when one of the facts changes, before it is acted on.
        self.changed: Callable[[], None] = _nothing
        self.note(**facts)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the facts, in order."""
        return tuple(cls.__annotations__)

    def known(self) -> dict[str, int]:
        """Give all facts by name."""
        return {name: getattr(self, name) for name in self.names()}

    def note(self, **facts: int) -> None:
        """Take facts, and have them written down before they are acted on."""
        assert facts.keys() <= set(self.names())
        self.__dict__.update(facts)
        self.changed()

    def snapshot(self) -> Self:
        """Give them as they are now."""
        return type(self)(**self.known())

    def __eq__(self, other: object) -> bool:
        """Compare what is known."""
        return isinstance(other, GuestFacts) and self.known() == other.known()

    def __repr__(self) -> str:
        """Show what is known."""
        return f"GuestFacts(**{self.known()})"


class ImageState(enum.Enum):
    """What the stream or file holds."""

    #: Nothing was written to it.
    NONE = "none"
    #: Some bytes, no proper end: useless for a restore.
    PARTIAL = "partial"
    #: Everything up to and including the END record.
    COMPLETE = "complete"


class Settled(Value):
    """What was found and repaired once the helper was gone."""

    guest: GuestState = GuestState.UNKNOWN
    repairs: tuple[str, ...] = ()

    def also(self, *facts: str) -> "Settled":
        """Give the same with more facts at the end."""
        return self.replace(repairs=(*self.repairs, *facts))


class Rusage(Value):
    """What a helper has used in its life, as the kernel counted."""

    user_seconds: float
    system_seconds: float
    max_rss_bytes: int


class JobReport(Value):
    """All that is known about a job that has ended."""

    #: What the job was, e.g. ``"save of domain 7"``.
    what: str
    #: Domain the job was about.
    domid: int
    guest: GuestState = GuestState.UNKNOWN
    image: ImageState = ImageState.NONE
    #: Short facts, in the order in which they were established.
    repairs: tuple[str, ...] = ()
    #: Phase in which the job ended or failed.
    phase: str = ""
    #: (phase, seconds since the start of the job) in order.
    timeline: tuple[tuple[str, float], ...] = ()
    #: Seconds from the start of the job until everything had stopped.
    duration: float = 0.0
    #: Newest log lines of the helper, oldest first.
    log_lines: tuple[str, ...] = ()
    #: Newest frames on the control pipes, oldest first.
    frames: tuple[str, ...] = ()
    #: How the helper ended: ``"exit status 0"``, ``"signal SIGKILL"``, ...; or that it
    #: stays, to look after a guest that was saved.
    exit_status: str = ""
    #: What the helper has used; None if it has not ended, or another reaped it.
    rusage: Rusage | None = None
    #: Last bytes of the helper's stderr, decoded.
    stderr_tail: str = ""
    #: Failures that came after the first one.
    later_errors: tuple[str, ...] = ()
    #: What did not fail the job, and people should know all the same.
    remarks: tuple[str, ...] = ()
    #: Figures as of the end.
    statistics: Statistics = Statistics()
    #: File that has all this and more, of a job that failed; "" if there is none.
    file: str = ""

    @property
    def failed_repairs(self) -> tuple[str, ...]:
        """Those of the repairs that could not be done, and what was in the way."""
        return tuple(fact for fact in self.repairs if FAILED in fact)

    def lines(self) -> list[str]:
        """Give the whole report, one fact a line."""
        facts = [
            f"job: {self.what}",
            f"phase: {self.phase}",
            f"guest: {self.guest.value}",
            f"image: {self.image.value}",
            f"helper: {self.exit_status or 'was not started'}",
            f"duration: {self.duration:.3f} s",
        ]
        facts += [f"report: {self.file}"] if self.file else []
        if (used := self.rusage) is not None:
            cpu = f"user {used.user_seconds:.3f} s, system {used.system_seconds:.3f} s"
            facts.append(f"rusage: {cpu}, {used.max_rss_bytes} bytes resident at most")
        facts += [f"repair: {fact}" for fact in self.repairs]
        facts += [f"remark: {text}" for text in self.remarks]
        facts += [f"later: {text}" for text in self.later_errors]
        facts += [f"statistics: {text}" for text in self.statistics.lines()]
        facts += [f"timeline: {at:9.3f} s {name}" for name, at in self.timeline]
        facts += [f"log: {line}" for line in self.log_lines]
        facts += [f"frame: {line}" for line in self.frames]
        facts += [f"stderr: {line}" for line in self.stderr_tail.splitlines()]
        return facts
