"""The policies: each looks at a view, and at nothing else."""

import enum
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

from libxlpy.callbacks import PrecopyAnswer
from libxlpy.errors import UsageError
from libxlpy.policies.view import PrecopyView
from libxlpy_protocol.fields import brief
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE

GO_ON, STOP = PrecopyAnswer.GO_ON, PrecopyAnswer.STOP_AND_COPY

#: The pause that is expected must fit so many times into what is left of a deadline:
#: suspend and devices come on top, and rates change. As KubeVirt's
#: ``completionTimeoutFactor``.
MARGIN = 2.0


class Policy(ABC):
    """Decides how a live save goes on; derive your own, e.g. as a frozen dataclass."""

    __slots__ = ()

    @abstractmethod
    def decide(self, view: PrecopyView) -> PrecopyAnswer:
        """Give the answer; from ``view`` alone, and without waiting."""


#: What is taken for a policy.
AnyPolicy: TypeAlias = Policy | Callable[[PrecopyView], Awaitable[int]]


class Xen(Policy, Value, kw_only=True):
    """Libxenguest's own, which is the default; its two numbers may be others.

    Xen: tools/libs/guest/xg_sr_save.c, simple_precopy_policy(). The names are those of
    the options that SUSE's ``xl migrate`` has for it.
    """

    #: Stop after so many passes.
    max_iters: int = 5
    #: Stop once fewer pages are dirty.
    min_remaining: int = 50
    #: After ``max_iters`` passes with that many dirty: give up instead.
    abort_if_busy: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no number of passes or pages."""
        for name in ("max_iters", "min_remaining"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                text = f"{name} must be a whole number, not {brief(value)}"
                raise UsageError(text)

    def decide(self, view: PrecopyView) -> PrecopyAnswer:
        """See the base class."""
        if 0 <= view.dirty_count < self.min_remaining:
            return STOP
        if view.iteration < self.max_iters:
            return GO_ON
        if not self.abort_if_busy:
            return STOP
        return PrecopyAnswer.ABORT if view.dirty_count >= 0 else GO_ON  # one more look


class DowntimeBudget(Policy, Value):
    """Stop once the guest is expected to be down for no longer.

    A guest that writes too fast for it is copied again and again: bound it by a
    :class:`Deadline`, or by another policy in :class:`FirstOf`.
    """

    #: Milliseconds.
    ms: float
    #: Bytes a second that the last pages will go at, where that is known: what was
    #: measured before may be less, as others used the way, too.
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no time or bandwidth."""
        check_positive("a downtime budget", self.ms)
        if self.bandwidth is not None:
            check_positive("a bandwidth", self.bandwidth)

    def decide(self, view: PrecopyView) -> PrecopyAnswer:
        """See the base class."""
        if view.dirty_count < 0:
            return GO_ON
        rate = self.bandwidth / PAGE_SIZE if self.bandwidth else view.rate
        downtime = view.downtime_at(rate)
        fit = downtime is not None and downtime <= self.ms
        return STOP if fit or not view.dirty_count else GO_ON


class LocalMinimum(Policy, Value):
    """Stop when passes no longer get smaller."""

    #: So many in a row found no fewer pages dirty than the fewest until then.
    passes: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no number of passes."""
        if type(self.passes) is not int or self.passes < 1:
            text = f"passes must be a number from 1, not {brief(self.passes)}"
            raise UsageError(text)

    def decide(self, view: PrecopyView) -> PrecopyAnswer:
        """See the base class."""
        if view.dirty_count < 0:
            return GO_ON
        found = [each.dirty_found for each in view.passes]
        known = [count for count in found if count is not None]
        if not view.dirty_count or not known:
            return STOP if not view.dirty_count else GO_ON
        since = len(known) - 1 - known.index(min(known))
        return STOP if since >= self.passes else GO_ON


class FirstOf(Policy, Value):
    """Several: the first that does not want to go on decides."""

    policies: tuple[Policy, ...]

    def __init__(self, *policies: Policy) -> None:
        """Take them in their order.

        Raises:
            UsageError: One is none, or there is none.
        """
        if not policies or not all(isinstance(each, Policy) for each in policies):
            raise UsageError("FirstOf needs policies; a coroutine can't be one of them")
        super().__init__(policies)

    def decide(self, view: PrecopyView) -> PrecopyAnswer:
        """See the base class."""
        answers = (each.decide(view) for each in self.policies)
        return next((each for each in answers if each is not GO_ON), GO_ON)


class OnTimeout(enum.Enum):
    """What is done once the time of a :class:`Deadline` is up."""

    #: Nothing more is copied; the guest runs on where it is.
    CANCEL = "cancel"
    #: The guest is suspended and what is left is copied, however long that takes.
    STOP = "stop"


class Deadline(Policy, Value):
    """Another policy, but not for longer.

    Passes are not cut short. With STOP the last one is that in which the time is up.
    With CANCEL the guest is not suspended if its pause would not end in time; what ends
    a job in the midst of a pass is the deadline ``total``.
    """

    #: Since the job began.
    seconds: float
    on_timeout: OnTimeout = OnTimeout.STOP
    policy: Policy = Xen()

    def __post_init__(self) -> None:
        """Refuse what is no time or policy."""
        check_positive("a deadline", self.seconds)
        if not isinstance(self.policy, Policy):
            raise UsageError("Deadline is for a policy; a coroutine can look by itself")
        if not isinstance(self.on_timeout, OnTimeout):
            raise UsageError(f"{brief(self.on_timeout)} is no OnTimeout")

    def decide(self, view: PrecopyView) -> PrecopyAnswer:
        """See the base class."""
        answer = self.policy.decide(view)
        left = self.seconds - view.elapsed
        if self.on_timeout is OnTimeout.STOP:
            up = (view.pass_seconds or 0.0) >= left
            return STOP if up and answer is GO_ON else answer
        if left <= 0:
            return PrecopyAnswer.ABORT
        return GO_ON if answer is STOP and not fits(view, left) else answer


def fits(view: PrecopyView, left: float | None) -> bool:
    """Tell whether a pause that begins now would end in time, as far as is known.

    Where it is not, right after the first pass, the log is worth a look first.

    Args:
        view: What is seen.
        left: Seconds; None for ever.
    """
    downtime = view.expected_downtime
    if left is None:
        return True
    if downtime is None:
        return view.dirty_count >= 0
    return (view.pass_seconds or 0.0) + MARGIN * downtime / 1000 <= left


def check_positive(what: str, value: object) -> None:
    """Refuse what is no positive number.

    Raises:
        UsageError: It is none.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 < value < float("inf")):  # type: ignore[operator]
        raise UsageError(f"{what} must be a positive number, not {brief(value)}")


def checked_policy(policy: object) -> AnyPolicy:
    """Give a policy, if it is one.

    Raises:
        UsageError: It is none.
    """
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, type) or not callable(policy):
        text = f"{brief(policy)} is no policy: give one of libxlpy.policies, as in"
        raise UsageError(f"{text} DowntimeBudget(300), or a coroutine function")
    return cast(AnyPolicy, policy)
