"""What every helper and job of one context has around it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libxlpy.backend import Backend
from libxlpy.callbacks import PrecopyPolicy
from libxlpy.deadlines import Deadlines
from libxlpy.jobs.meter import Suspended
from libxlpy.jobs.stall import NO_STALL_POLICY, StallPolicy
from libxlpy.process.helper import helper_argv
from libxlpy.process.pump import Observer

if TYPE_CHECKING:
    from libxlpy.ops import Ops


@dataclass(frozen=True, slots=True)
class Environment:
    """Backend, deadlines, the helper for hypercalls, hooks for tests."""

    backend: Backend
    deadlines: Deadlines
    ops: "Ops"
    #: Testing hook, see :data:`libxlpy.process.pump.Observer`.
    observer: Observer | None = None
    #: Gives the helper's argv; tests put a scripted helper here.
    argv: Callable[[Backend], list[str]] = helper_argv
    #: Guests whose downtime is still measured.
    suspended: Suspended = field(default_factory=Suspended)
    stall: StallPolicy = NO_STALL_POLICY
    #: The caller's own, instead of libxenguest's.
    precopy_policy: PrecopyPolicy | None = None
