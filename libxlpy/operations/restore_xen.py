"""Restore one domain on real Xen, in order of execution.

A file is looked through. The build helper hosts libxenlight: spawn -> hello -> start ->
libxenlight makes the domain, has its stream read by libxlpy-save-helper, up to END, and
makes its devices -> its monitor -> it runs -> complete -> exit. If that fails before
the guest has run for the first time, nothing is left of it: libxenlight removes it, or
another process does if the helper could not.
"""

import os

from libxlpy.callbacks import AnswerTo
from libxlpy.domain import hypercalls
from libxlpy.domain.config import parse_config
from libxlpy.domain.dom0 import Dom0Memory, needed_kib
from libxlpy.domain.info import DomainFacts
from libxlpy.domain.repair import TRIES, ask_guest, failed
from libxlpy.domain.requests import list_domains
from libxlpy.domain.toolstack_xen import BUILDER, XenToolstack
from libxlpy.errors import UsageError, XenError
from libxlpy.jobs.operation import Access, Operation, Run
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.operations.input import check_input
from libxlpy.operations.restore_target import Target, Wanted
from libxlpy.process.environment import Environment
from libxlpy.process.packages import helper_python
from libxlpy.results.of_jobs import RestoreResult
from libxlpy.results.report import GuestState, JobReport, Kind, Settled
from libxlpy.streams import Format
from libxlpy_protocol.enums import Image, Mode
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import CallMessage, Start
from libxlpy_protocol.xen import PAGE_SIZE

#: Phases in which the build helper waits for the stream, however slow.
READS = frozenset({"header", "memory"})
REMOVED = "half-built domain destroyed"
NO_FD = -1


class XenRestore(Operation[RestoreResult]):
    """One restore by libxenlight."""

    kind: Kind = "restore"
    access: Access = "read"
    calls = frozenset()
    library = "libxenlight"

    def __init__(
        self, env: Environment, toolstack: XenToolstack, wanted: Wanted
    ) -> None:
        """Restore into a domain that libxenlight makes; on failure there is none.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            toolstack: Of the same Xen.
            wanted: What the domain is to be.
        """
        super().__init__(env)
        # An abort gets the time that libxenlight needs.
        self.deadlines = env.deadlines.replace(abort_grace=env.deadlines.destroy)
        self._toolstack = toolstack
        self._wanted = wanted
        self._target: Target
        self._config_fd = NO_FD
        self.dom0 = Dom0Memory(env)

    @property
    def what(self) -> str:
        """See the base class."""
        return f"restore of domain {self._target.name}"

    async def choose(self) -> None:
        """Settle which domain it will be."""
        domains = await list_domains(self.env)
        self._target = Target.of(self._wanted, domains)
        self.domid, self.uuid = self._target.domid, self._target.uuid

    async def check(self, stream: StreamFd) -> None:
        """See that a file is whole, and that there is memory, if dom0 gives any."""
        await check_input(stream, Format.LIBXL, self.deadlines.check)
        await self.make_room("build")

    async def make_room(self, deadline: str) -> None:
        """Have dom0 give what memory lacks; argument and errors as of its memory."""
        came = self._wanted.claim_pages * PAGE_SIZE // 1024
        needed = needed_kib(parse_config(self._target.config), came)
        await self.dom0.make_room(needed, deadline)

    # ----- the helper -------------------------------------------------------------

    def inherited(self) -> list[int]:
        """See the base class: the configuration."""
        self._config_fd = os.memfd_create("libxlpy-config")
        os.write(self._config_fd, self._target.config)
        os.lseek(self._config_fd, 0, os.SEEK_SET)
        return [self._config_fd]

    def argv(self) -> list[str]:
        """See the base class; asked for after :meth:`inherited`."""
        return [
            *helper_python(BUILDER),
            *("--parent", str(os.getpid()), "--config-fd", str(self._config_fd)),
            *["--paused"] * self._wanted.paused,
            *["--monitor"] * self._wanted.monitor,
        ]

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        return Start(
            Mode.RESTORE,
            domid=self.domid,
            image=Image.LIBXL,
            stream_fd=stream_fd,
            claim_pages=self._wanted.claim_pages,
            xenstore_path=str(self.env.backend.xenstore_socket),
        )

    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        """Refuse: libxenlight answers libxenguest."""
        raise UsageError(f"{type(call).__name__} has no place in a build")

    def phase_limit(self, phase: str) -> float | None:
        """See the base class; only the stream is waited for without a bound."""
        return None if phase in READS else self.deadlines.build

    # ----- the end ----------------------------------------------------------------

    async def settle(self, run: Run) -> Settled:
        """After a failure see that nothing is left; ask where the guest is."""
        return await self.settle_dom0(run, await self.settle_domain(run))

    async def settle_dom0(self, run: Run, settled: Settled) -> Settled:
        """Give dom0's memory back if nothing has come of it; else tell of it."""
        if run.failure is not None and settled.guest is GuestState.GONE:
            if isinstance(run.failure, XenError) and self.dom0.lack:
                run.record.remark(self.dom0.lack)
            return settled.also(*await self.dom0.give_back())
        for text in self.dom0.remarks():
            run.record.remark(text)
        return settled

    async def settle_domain(self, run: Run) -> Settled:
        """Remove what a failure has left of the domain; ask where the guest is."""
        if self._config_fd != NO_FD:
            os.close(self._config_fd)
            self._config_fd = NO_FD
        facts: tuple[str, ...] = ()
        if run.failure is not None and run.started:
            facts = await self._clean(run)
        settled = await ask_guest(self.env, self.domid, self.uuid)
        return Settled(settled.guest, (*facts, *settled.repairs))

    async def _clean(self, run: Run) -> tuple[str, ...]:
        """Remove what the helper has left, if it has; give what was done."""
        told = ""
        for _ in range(TRIES):
            try:
                async with self.env.hypercalls() as ops:
                    found = await hypercalls.find(ops, self.domid)
                break
            except LibxlpyError as exc:
                told = failed(REMOVED, f"hypervisor could not be asked: {exc}")
        else:
            return (told,)
        told_all = run.record.complete is not None
        if found is None or not self._is_half_built(found, told_all=told_all):
            return ()
        try:
            await self._toolstack.destroy(self.domid, found.uuid)
        except LibxlpyError as exc:
            return (failed(REMOVED, exc),)
        return (REMOVED,)

    def _is_half_built(self, found: DomainFacts, *, told_all: bool) -> bool:
        """Tell a domain that is ours, has never run, and that nobody removes.

        One that has run may have written to its disks: from then on the file is no
        longer its last state, and to destroy it would be to lose it.
        """
        if found.uuid != self.uuid:
            return False
        return not told_all if found.dying else found.paused

    def result(self, run: Run, report: JobReport) -> RestoreResult:
        """Give what a restore that succeeded has done."""
        return RestoreResult.of(report, run.record.stat, None, self._target.name)
