"""What becomes of a migration, at either end, whose process died.

Until the sender has said GO its guest is its own; once it was told that the copy runs,
it is not. In between only facts of both ends can tell: nothing is done.
"""

from libxlpy.domain import requests
from libxlpy.domain.info import DomainFacts
from libxlpy.domain.names import AWAY, INCOMING
from libxlpy.domain.notice import withdraw
from libxlpy.domain.remedies import as_seen
from libxlpy.journal import Entry
from libxlpy.process.environment import Environment
from libxlpy.recovery.decision import Decision, Outcome, Step
from libxlpy.results.report import ImageState

#: Phases of a sender whose copy may run.
GIVEN = frozenset({"go", "report"})
#: Phases of a receiver whose sender may know that the copy is whole, or of a backup
#: whose copy may be all that is left.
WHOLE = frozenset({"received", "go", "unpause", "held", "fence", "take over"})
MOVED = "moved"


class Moving:
    """One end of a migration."""

    def __init__(self, env: Environment, entry: Entry, left_by: str) -> None:
        """Take it.

        Args:
            env: Backend, deadlines, the helper for hypercalls.
            entry: The job.
            left_by: Whose end left it, as in messages.
        """
        self._env = env
        self._entry = entry
        self._left_by = left_by

    def sent(self, facts: DomainFacts) -> Decision | None:
        """Decide about the sender's guest; None: it is its own, as after a save."""
        phase = self._entry.phase
        if phase not in GIVEN and phase != MOVED:
            return None
        if not facts.suspended and phase == "go":
            return None  # its guard has let it run: so GO was not said
        if not facts.suspended:
            text = "somebody has let it run here, although it was given away"
            return Decision(Outcome.LEFT, f"{text}; {self._look()}")
        if phase == MOVED:
            text = "it runs at the other end"
            return self._decision(Outcome.FINISHED, text, self._destroyed())
        text = f"{self._left_by} when it may have been given away"
        return self._decision(Outcome.OPEN, f"{text}; {self._ask()}")

    def received(self, facts: DomainFacts) -> Decision:
        """Decide about the receiver's copy."""
        if not facts.paused:
            named = Step("", lambda: self._own_name(INCOMING))
            return self._decision(Outcome.FINISHED, "its copy runs", named)
        if self._entry.phase in WHOLE:
            text = f"{self._left_by} with a whole copy, which is paused"
            return self._decision(Outcome.OPEN, f"{text}; {self._ask()}")
        text = f"{self._left_by} before its sender knew of a copy"
        return Decision(Outcome.ROLLED_BACK, text, [self._destroyed()])

    def _ask(self) -> str:
        """Say how one that is open is settled; a recovery asks a host that is known."""
        if self._entry.reached_by:
            return self._look()
        seen = as_seen(str(self._entry.domid))
        ask = "say `xlpy recover --ask HOST`, HOST being the other end"
        return f"{ask}, or look there and say {seen}"

    def _look(self) -> str:
        words = self._entry.reached_by
        where = f"the other end (`{words}`)" if words else "the other end"
        return f"look at {where}, then say {as_seen(str(self._entry.domid))}"

    @staticmethod
    def _decision(outcome: Outcome, text: str, *steps: Step) -> Decision:
        return Decision(outcome, text, list(steps), ImageState.COMPLETE)

    # ----- steps ------------------------------------------------------------------

    def _destroyed(self) -> Step:
        env, entry = self._env, self._entry
        return Step(
            "domain destroyed here",
            lambda: requests.destroy(env, entry.domid, entry.uuid),
        )

    def named_back(self) -> list[Step]:
        """Give the domain its own name again, and tell it that it stays, if need be."""
        env, entry = self._env, self._entry
        told = Step("", lambda: withdraw(env, entry.domid, entry.uuid))
        return [Step("", lambda: self._own_name(AWAY)), told]

    async def _own_name(self, added: str) -> None:
        """Take away what is added to its name."""
        env, entry = self._env, self._entry
        old = (await requests.look(env, entry.domid)).name
        if old.endswith(added):
            new = old.removesuffix(added)
            await requests.rename(env, entry.domid, new, uuid=entry.uuid, old=old)
