"""Give a domain away, in order of execution.

The receiver says that it is there -> header and configuration, or an offer -> a live
save -> the receiver has a whole copy, paused -> it is given away, see ``giving``.

Xen: tools/xl/xl_migrate.c, migrate_domain().
"""

from typing import TYPE_CHECKING

from libxlpy.domain import hypercalls
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.notice import GuestNotice
from libxlpy.domain.pauses import is_held
from libxlpy.errors import (
    GuestFailed,
    NotSupported,
)
from libxlpy.jobs.operation import Run
from libxlpy.migration.sender import Sender
from libxlpy.results.of_jobs import MigrateResult
from libxlpy.results.report import JobReport, Kind
from libxlpy_protocol.messages import CallMessage, Suspend

if TYPE_CHECKING:
    pass

WOULD_RUN = (
    "xl's handshake can't say so, and the target would let it run; give -p here and to "
    "the receiver, or unpause it first"
)


class Send(Sender[MigrateResult]):
    """One migration, seen from the host that the domain leaves."""

    kind: Kind = "migrate"

    @property
    def what(self) -> str:
        """See the base class."""
        return f"migration of domain {self.domid}"

    # ----- before the job ---------------------------------------------------------

    def take(self, info: DomainInfo) -> None:
        """See the base class."""
        super().take(info)
        self._notice = GuestNotice(self.env, info.domid, info.uuid)

    async def _greet(self, config: bytes) -> None:
        """See the base class; a guest that is paused has to stay so."""
        if self._connect is None:  # xl's handshake, whoever is there
            self._check_stays_paused()
        await super()._greet(config)
        assert self._receiver is not None
        self._is_left_paused |= self._receiver.keeps_paused
        self._check_stays_paused()

    def _check_stays_paused(self) -> None:
        if self._domain.paused and not self._is_left_paused:
            raise NotSupported(f"domain {self.domid} is paused: {WOULD_RUN}")

    # ----- callbacks --------------------------------------------------------------

    async def _suspend_guest(self, run: Run) -> int:
        """See the base class; the guest is told before, and may hold it back."""
        assert run.link is not None
        ours = run.link, self.domid, self.uuid
        remark = await self._notice.tell(run.link, lambda: run.enter("hold"))
        run.record.remarks += [remark] if remark else []
        self._check_may_run_there(is_paused=await is_held(*ours))
        answer = await super()._suspend_guest(run)
        found = await hypercalls.find(*ours)
        self._talk.stays_paused = found is not None and found.paused
        self._check_may_run_there(is_paused=self._talk.stays_paused)
        return answer

    def _check_may_run_there(self, *, is_paused: bool) -> None:
        """Keep a guest here that was paused meanwhile, and would run at the target."""
        if is_paused and not self._is_left_paused:
            text = f"it was paused while it was copied: {WOULD_RUN}"
            raise GuestFailed("paused", text)

    def limit(self, call: CallMessage) -> float | None:
        """See the base class."""
        seconds = super().limit(call)
        if isinstance(call, Suspend) and seconds is not None:
            return seconds + self.deadlines.guest_hold
        return seconds

    # ----- the end ----------------------------------------------------------------

    async def _stays(self) -> list[str]:
        """See the base class: the guest is told."""
        remark = await self._notice.withdraw()
        return [remark] if remark else []

    def result(self, run: Run, report: JobReport) -> MigrateResult:
        """Give what a migration that succeeded has done."""
        return MigrateResult.of(report, run.record.stat, self._name)
