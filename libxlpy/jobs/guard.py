"""Who looks after a guest that was saved, until its end is settled.

It is suspended, and its caller puts the file in its place, then resumes or destroys it.
Should we die meanwhile, the helper that has saved it lets it run again: it stays, and
leaves when it is told that the guest is resumed, gone, or to stay as it is.

Not if the stream went to a pipe or socket: it may be a guest by now, somewhere else;
unless its reader waits for our word.
"""

from libxlpy.process.escalation import Step
from libxlpy.process.link import HelperLink
from libxlpy.results import Rusage
from libxlpy_protocol.messages import Release

#: Seconds for it to let the guest run; it takes 2 at most.
ACT_WITHIN = 10.0


class Guard:
    """A helper that has done its work and stays."""

    def __init__(self, link: HelperLink) -> None:
        """Take it, with its wire."""
        self._link = link
        self._has_left = False

    @property
    def end(self) -> str:
        """How it has ended, e.g. ``"exit status 0"``."""
        return str(self._link.process.exit)

    @property
    def rusage(self) -> Rusage | None:
        """What it has used; None while it is there, or if another reaped it."""
        return self._link.process.rusage

    def let_go(self) -> None:
        """Tell it that nothing is left to look after, without a wait."""
        self._link.send(Release())

    async def release(self) -> None:
        """Have it leave: there is nothing left to look after; idempotent.

        Raises:
            UsageError: We are a child that was forked, and it is our parent's.
        """
        self._link.process.check_ours("this guard")
        if not self._has_left:
            self._link.send(Release())
            await self._gone()

    async def act(self) -> None:
        """Have it do what it would do were we dead, wait until it has; idempotent.

        Raises:
            UsageError: As of :meth:`release`.
        """
        self._link.process.check_ours("this guard")
        if not self._has_left:
            self._link.pump.hang_up()
            await self._link.process.wait_within(ACT_WITHIN)
            await self._gone()

    async def _gone(self) -> None:
        self._link.escalation.demand(Step.LEAVE)
        await self._link.escalation.run()
        if not self._has_left:
            self._has_left = True
            self._link.close()
