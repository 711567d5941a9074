"""Which copy of a domain is the domain, when a migration was left open.

Facts of both hosts decide, never a guess: what has run since is the domain; if none
has, it is the one that ran last, on the host that it was to leave. What facts can't
tell is for people.
"""

from collections.abc import Sequence
from typing import Self

from libxlpy.domain.info import DomainInfo
from libxlpy.domain.names import AWAY, INCOMING
from libxlpy.errors import UsageError
from libxlpy_protocol.value import Value


class DomainCopy(Value):
    """One copy of a domain that was to move."""

    #: Host it is on, as in messages.
    host: str
    info: DomainInfo

    @property
    def runs(self) -> bool:
        """It may write to its disks at this moment."""
        return not (self.info.paused or self.info.shutdown)

    @property
    def is_suspended(self) -> bool:
        """It ran until a save suspended it."""
        return self.info.shutdown and self.info.shutdown_reason == "suspend"

    @property
    def waits(self) -> bool:
        """It was received, and has never run."""
        paused = self.info.paused and not self.info.shutdown
        return paused and self.info.name.endswith(INCOMING)

    @property
    def own_name(self) -> str:
        """What it is called once it runs."""
        return self.own_name_of(self.info.name)

    @staticmethod
    def own_name_of(name: str) -> str:
        """Give a domain's own name, whatever it is called while it moves."""
        return name.removesuffix(AWAY).removesuffix(INCOMING)

    def __str__(self) -> str:
        """Give it as in messages."""
        state = "paused" if self.info.paused else "shut down"
        if self.runs:
            state = "running"
        elif self.is_suspended:
            state = "suspended"
        return f"'{self.info.name}' (domid {self.info.domid}) is {state} on {self.host}"


class MigrationVerdict(Value):
    """What becomes of each copy."""

    #: The domain: it is to run, under its own name.
    keep: DomainCopy
    #: To be destroyed, all of them before the other runs.
    drop: tuple[DomainCopy, ...]

    @classmethod
    def of(cls, copies: Sequence[DomainCopy]) -> Self:
        """Decide which copy of a domain is the domain.

        Args:
            copies: All of them, of both hosts: of one uuid, and one name but for what
                is appended to it.

        Raises:
            UsageError: Facts don't tell; says why, and which copies there are.
        """
        told = "; ".join(map(str, copies))
        if not copies:
            raise UsageError("no copy of it is on either host")
        if len({copy.info.uuid for copy in copies}) > 1:
            raise UsageError(f"these are different domains: {told}")
        running = [copy for copy in copies if copy.runs]
        suspended = [copy for copy in copies if copy.is_suspended]
        waiting = [copy for copy in copies if copy.waits]
        if len(running) + len(suspended) + len(waiting) < len(copies):
            raise UsageError(f"one was paused or has ended for other reasons: {told}")
        if len(running) > 1:
            raise UsageError(f"it runs in two places, stop one at once: {told}")
        if not running and len(suspended) > 1:
            raise UsageError(f"more than one could be the newest: {told}")
        first = [*running, *suspended, *waiting]
        if not running and not suspended and len(waiting) > 1:
            raise UsageError(f"more than one could be the newest: {told}")
        keep = first[0]
        return cls(keep, tuple(copy for copy in copies if copy is not keep))
