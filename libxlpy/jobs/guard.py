"""Who looks after a guest that was saved, until its end is settled.

It is suspended, and its caller puts the file in its place, then resumes or destroys it.
Should we die meanwhile, or be silent for as long as the deadline ``parent_silent``, the
helper that has saved it lets it run again. It stays until it is told that the guest is
resumed, gone, or to stay as it is. Not if the stream went to a pipe or socket: it may
be a guest by now, somewhere else; unless its reader waits for our word.

We may be stopped at any moment, and go on when the guard has acted. So whoever is to do
something with the guest hears from the guard first that it has not, and will not.
"""

from libxlpy.errors import BackendError, HelperCrashed, JobError, TimedOut
from libxlpy.jobs.failures import PARENT_SILENT
from libxlpy.process.escalation import Step
from libxlpy.process.helper import ExitStatus
from libxlpy.process.link import HelperLink
from libxlpy.results.report import Rusage
from libxlpy_protocol.messages import Release

#: Seconds for it to let the guest run; it takes 2 at most.
ACT_WITHIN = 10.0


class Guard:
    """A helper that has done its work and stays."""

    def __init__(self, link: HelperLink, silence: float) -> None:
        """Take it, with its wire, and the deadline ``parent_silent`` that it has."""
        self._link = link
        self._silence = silence
        self._has_left = False

    @property
    def end(self) -> str:
        """How it has ended, e.g. ``"exit status 0"``."""
        return str(self._link.process.exit)

    @property
    def rusage(self) -> Rusage | None:
        """What it has used; None while it is there, or if another reaped it."""
        return self._link.process.rusage

    async def hold_still(self) -> None:
        """Have it act no more on our silence, but still on our end.

        One that can't say that it does so is gone afterwards. What the guest is then,
        the guard does not change while we are there.
        """
        self._link.process.check_ours("this guard")
        if self._has_left:
            return
        try:
            await self._link.end_presence()
        except BackendError:
            await self.release()

    async def let_go(self) -> None:
        """Hear from it that it has not let the guest run, and never will.

        Raises:
            JobError: It may have; it is gone, and the guest not to be given away.
        """
        self._link.process.check_ours("this guard")
        try:
            await self._link.let_go()
        except BackendError as exc:
            await self.release()
            raise self._failure(exc) from exc

    def _failure(self, error: BackendError) -> JobError:
        end = self._link.process.exit
        if end is not None and end.status == PARENT_SILENT:
            return TimedOut("parent_silent", self._silence)
        text = "guest not given away, as the helper that guards it"
        if isinstance(error.__cause__, TimeoutError):
            return HelperCrashed(how=f"{text} did not answer")
        status = end or ExitStatus()
        return HelperCrashed(status.signal, status.status, how=f"{text} died: {status}")

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
