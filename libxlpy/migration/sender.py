"""A guest that leaves for another host, whatever is done on its way there.

The receiver says that it is there -> header and configuration, or an offer -> a save,
whose stream goes there -> whose the guest is, is settled, and told.
"""

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from libxlpy.domain import requests
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.names import away
from libxlpy.domain.remedies import both_asked
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.errors import JobError
from libxlpy.jobs.operation import Result, Run
from libxlpy.jobs.stall import StallPolicy
from libxlpy.migration.channel import Channel
from libxlpy.migration.giving import Giving
from libxlpy.migration.greeting import Connect, Greeted, greet
from libxlpy.migration.hooks import Hooks, MigrationHooks
from libxlpy.migration.talk import Talk
from libxlpy.operations.flags import SuspendFlags
from libxlpy.operations.save import GuestSave
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.results.report import Settled
from libxlpy_protocol.enums import OnParentLoss
from libxlpy_protocol.messages import Log
from libxlpy_protocol.migration import own
from libxlpy_protocol.migration.handshake import Sending, Word
from libxlpy_protocol.xen import XTL_INFO

if TYPE_CHECKING:
    from libxlpy.policies import AnyPolicy

#: State -> what hooks are told of the end; of all others that it has failed.
OUTCOMES = {Sending.MOVED: "moved", Sending.OPEN: "open"}
#: What is longer has no room in the journal, and is not noted.
WORDS_MAX = 4096
MAY_BE_HALF = (
    "the target could not be told: if part of a copy is left there, `xlpy recover` "
    "there removes it"
)
MAY_WAIT = "the target could not be told: if it has kept a paused copy"

logger = logging.getLogger("libxlpy")


class Sender(GuestSave[Result]):
    """One guest on its way, seen from the host that it leaves; what then, derives."""

    #: What a receiver says first that takes it, in our own handshake.
    ready: ClassVar[bytes] = own.READY
    #: What was saved is to run there.
    gives_away = True

    def __init__(
        self,
        env: Environment,
        domid: int,
        channel: Channel,
        flags: SuspendFlags,
        *,
        connect: Connect | None = None,
        config: bytes | None = None,
        paused: bool = False,
        reached_by: str = "",
        hooks: MigrationHooks | None = None,
        stall: StallPolicy | None = None,
        policy: "AnyPolicy | None" = None,
    ) -> None:
        """Send a domain.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            domid: Of the domain.
            channel: To the receiver; in xl's handshake the stream goes there, too.
            flags: LIVE, DEBUG.
            connect: See :func:`.greet`.
            config: In libxl's JSON; None for what its toolstack keeps of it.
            paused: The receiver leaves it paused in any case.
            reached_by: Shell's words that run a command on its host, for who recovers.
            hooks: To be run before and after it.
            stall: See the base class.
            policy: See the base class.

        Raises:
            UsageError: ``flags`` has a bit that means nothing, or ``policy`` is none.
        """
        super().__init__(
            env,
            domid,
            flags,
            on_parent_loss=OnParentLoss.RESUME_UNLESS_RELEASED,
            stall=stall,
            policy=policy,
        )
        self._channel = channel
        self._connect = connect
        self._config = config
        self._is_left_paused = paused
        self._reached_by = reached_by if len(reached_by) <= WORDS_MAX else ""
        self._domain: DomainInfo
        self._name = ""
        self._receiver: Greeted | None = None
        self._hooks = Hooks(env, hooks, "send")
        self._giving: Giving

    # ----- before the job ---------------------------------------------------------

    async def prepare(self) -> None:
        """See that the domain can be saved, and that the receiver is there."""
        await super().prepare()
        toolstack_of(self.env).check_name(away(self._name))
        config = self._config
        if config is None:
            config = await requests.retrieve_config(self.env, self.domid)
        await self._hooks.before(domid=self.domid, uuid=self.uuid, name=self._name)
        await self._greet(config)
        self._giving = Giving(self.env, self._domain, self._talk)

    async def _greet(self, config: bytes) -> None:
        domain, connect = self._domain, self._connect
        self._receiver = await greet(
            self.env, self._channel, domain, config, connect, self.ready
        )
        self.stream_fd = self._receiver.stream_fd

    async def discard(self) -> None:
        """See the base class."""
        await super().discard()
        if self._receiver is not None:
            with suppress(JobError):
                await self._talk.say(Word.GIVEN_UP)
            await self._talk.close()
        for failure in await self._after("failed", ""):
            logger.warning("%s: %s", self.what, failure)

    def take(self, info: DomainInfo) -> None:
        """See the base class."""
        super().take(info)
        self._domain = info
        self._name = info.name

    def journal(self) -> dict[str, Any]:
        """See the base class."""
        return {**super().journal(), "reached_by": self._reached_by}

    @property
    def _talk(self) -> Talk:
        assert self._receiver is not None
        return self._receiver.talk

    def began(self, run: Run) -> None:
        """Go on only while the receiver is there; both call it the same."""
        super().began(run)
        assert self._receiver is not None
        if self._receiver.migration:
            text = f"at the other end it is migration {self._receiver.migration}, too"
            run.record.news(Log(XTL_INFO, -1, "libxlpy", text))
        self._talk.watch(lambda error: run.fail(error, Step.ABORT))

    # ----- the end ----------------------------------------------------------------

    async def settle(self, run: Run) -> Settled:
        """Settle with the receiver who has the guest; repair if it is ours."""
        self._talk.watch(None)
        settled = await self._settle(run)
        if run.guard is not None:
            await run.guard.release()
            run.record.exit_status = run.guard.end
            run.record.rusage = run.guard.rusage
        await self._part(run)
        outcome = self._outcome(run)
        run.record.remarks += await self._after(outcome, settled.guest.value)
        return settled

    def _outcome(self, run: Run) -> str:
        """Give what hooks are told of its end."""
        return OUTCOMES.get(self._giving.state, "failed")

    async def _part(self, run: Run) -> None:
        """Tell the receiver, if it can be told, that the guest is ours; then close."""
        if not self._giving.is_given:
            try:
                await self._talk.say(Word.GIVEN_UP, str(run.failure or ""))
            except JobError:
                if self._giving.state is Sending.STAYS:
                    settled_by = both_asked(self._name, self._reached_by)
                    remark = f"{MAY_WAIT}, {settled_by} removes that"
                    run.record.remarks.append(remark)
                elif not self._talk.has_given_up:
                    run.record.remarks.append(MAY_BE_HALF)
        await self._talk.close()

    async def _after(self, outcome: str, guest: str) -> list[str]:
        """Have the hooks run that follow; give what fails."""
        return await self._hooks.after(
            domid=self.domid,
            uuid=self.uuid,
            name=self._name,
            outcome=outcome,
            guest=guest,
        )

    async def _settle(self, run: Run) -> Settled:
        """See who has the guest; what was only told to it is taken back if we have."""
        if self._giving.is_given:
            return await self._left()  # a defect came between, or it is asked again
        settled = await self._saved(run)
        if run.failure is None and self.gives_away:
            if await self._giving.go_through(run):
                return await self._left()
            settled = await self._repair(run)
        run.record.remarks += await self._stays()
        return settled.also(*await self._giving.name_back())

    async def _saved(self, run: Run) -> Settled:
        """See how the save has ended."""
        return await super().settle(run)

    async def _stays(self) -> list[str]:
        """Do what a guest needs that stays here; give what people should know."""
        return []

    async def _left(self) -> Settled:
        settled = await self._giving.left()
        self.is_left = self._giving.is_left
        return settled

    def interrupt(self, reason: str) -> bool:
        """See the base class: until GO is said the guest can stay."""
        return self._giving.interrupt(reason)

    async def abandon(self, run: Run) -> Settled | None:
        """Leave it: it runs at the other end."""
        return None
