"""Notice a job that lives but does not get on, and do what its policy says.

Three separate signals: no sign of life from the helper (heartbeat age), a stream that
does not move (bytes age), a precopy that does not converge (iteration trend). Each has
a bound and an action; a signal without a bound is not looked at. These stand beside the
deadlines ``heartbeat`` and ``no_progress``, which always end the job.
"""

import enum
from collections.abc import Callable, Sequence

from libxlpy.errors import UsageError
from libxlpy.events import StallEvent
from libxlpy.jobs.watchdog import Watchdog
from libxlpy.results.statistics import Iteration
from libxlpy_protocol.value import Value


class StallAction(enum.Enum):
    """What is done about a stall; each is told as a ``StallEvent`` first."""

    #: Nothing else.
    WARN = "warn"
    #: The job is aborted; the guest runs on.
    ABORT = "abort"
    #: The guest is suspended and the rest is copied, once libxenguest asks.
    STOP_AND_COPY = "stop_and_copy"


class StallPolicy(Value, kw_only=True):
    """When a job stalls, and what is done then; None: that is not looked at."""

    #: Seconds since the helper's last sign of life.
    heartbeat_age: float | None = None
    on_heartbeat: StallAction = StallAction.WARN
    #: Seconds since the stream moved; callbacks don't count.
    bytes_age: float | None = None
    on_bytes: StallAction = StallAction.WARN
    #: Passes in a row that found no fewer dirty pages than the one before.
    iterations: int | None = None
    on_iterations: StallAction = StallAction.WARN

    def __post_init__(self) -> None:
        """Refuse a bound that is no bound."""
        for name in ("heartbeat_age", "bytes_age", "iterations"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"stall bound {name} must be positive: {value!r}")

    @property
    def may_stop(self) -> bool:
        """Tell whether libxenguest must ask how to go on."""
        bounds = (self.heartbeat_age, self.bytes_age, self.iterations)
        actions = (self.on_heartbeat, self.on_bytes, self.on_iterations)
        return any(
            bound is not None and action is StallAction.STOP_AND_COPY
            for bound, action in zip(bounds, actions, strict=True)
        )


#: Looks at nothing.
NO_STALL_POLICY = StallPolicy()


class StallWatch:
    """The watch over one job."""

    def __init__(
        self,
        policy: StallPolicy,
        stalled: Callable[[StallEvent, StallAction], None],
    ) -> None:
        """Start to watch with :meth:`begin`.

        Args:
            policy: Bounds and actions.
            stalled: Told each stall once; again only after the job had got on.
        """
        self._policy = policy
        self._stalled = stalled
        self._passes = 0
        self._closed = False
        self._watchdog = Watchdog(self._aged)

    def begin(self) -> None:
        """The helper has its job."""
        self.sign(moved=True)

    def sign(self, *, moved: bool) -> None:
        """Take a sign of life; ``moved`` if the stream has, or a callback is busy."""
        if self._closed:
            return
        self._watchdog.arm("heartbeat_age", self._policy.heartbeat_age, looks=2)
        if moved:
            self._watchdog.arm("bytes_age", self._policy.bytes_age)

    def passes(self, history: Sequence[Iteration]) -> None:
        """Take the passes that have ended."""
        wanted = self._policy.iterations
        if wanted is None or self._closed or len(history) == self._passes:
            return
        self._passes = len(history)
        dirty = [each.dirty_found for each in history[-wanted - 1 :]]
        found = [count for count in dirty if count is not None]
        if len(found) == len(dirty) == wanted + 1 and found == sorted(found):
            self._tell("iterations", wanted, f"dirty pages did not shrink: {found}")

    def close(self) -> None:
        """The job ends: nothing stalls any more."""
        self._closed = True
        self._watchdog.close()

    # ----- private ----------------------------------------------------------------

    def _aged(self, name: str, seconds: float) -> None:
        kind = "sign of life" if name == "heartbeat_age" else "byte moved"
        self._tell(name, seconds, f"no {kind} for {seconds:g} s")

    def _tell(self, signal: str, bound: float, text: str) -> None:
        action = {
            "heartbeat_age": self._policy.on_heartbeat,
            "bytes_age": self._policy.on_bytes,
            "iterations": self._policy.on_iterations,
        }[signal]
        self._stalled(StallEvent(signal, bound, action.value, text), action)
