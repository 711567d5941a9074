"""What a command's options say of when a live copy suspends its guest."""

from typing import TYPE_CHECKING

from libxlpy import Deadlines
from libxlpy.later import Later

if TYPE_CHECKING:
    from libxlpy import policies
else:
    policies = Later("libxlpy.policies")
from libxlpy_protocol.value import Value

#: Names of the options; all but the first two are SUSE's, of its `xl migrate`.
NAMES = ("max_downtime", "on_timeout", "max_iters", "min_remaining", "abort_if_busy")


class PrecopyOptions(Value, kw_only=True):
    """Options of `xlpy save --live` and `xlpy migrate`; None where not given."""

    #: Milliseconds.
    max_downtime: int | None
    #: Seconds.
    timeout: int | None
    on_timeout: str
    max_iters: int | None
    min_remaining: int | None
    abort_if_busy: bool

    @property
    def total(self) -> int | None:
        """The deadline after which the job ends with the guest running."""
        return None if self._stops else self.timeout

    def deadlines(self, no_progress: int | None) -> Deadlines:
        """Give those that were given, and the defaults of all others."""
        bounds = Deadlines(total=self.total)
        if no_progress is None:
            return bounds
        return bounds.replace(no_progress=no_progress)

    @property
    def policy(self) -> "policies.Policy | None":
        """What they ask for; None for libxenguest's own."""
        parts: list[policies.Policy] = []
        if self.max_downtime is not None:
            parts.append(policies.DowntimeBudget(self.max_downtime))
        if self.max_iters or self.min_remaining or self.abort_if_busy:
            parts.append(self._numbers())
        policy = policies.FirstOf(*parts) if parts else None
        if self._stops and self.timeout is not None:
            on_timeout = policies.OnTimeout.STOP
            return policies.Deadline(self.timeout, on_timeout, policy or policies.Xen())
        return policy

    def _numbers(self) -> "policies.Xen":
        default = policies.Xen()
        return policies.Xen(
            max_iters=self.max_iters or default.max_iters,
            min_remaining=self.min_remaining or default.min_remaining,
            abort_if_busy=self.abort_if_busy,
        )

    @property
    def _stops(self) -> bool:
        return self.on_timeout == "stop"
