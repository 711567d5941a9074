"""Restore one domain on real Xen, in order of execution.

The build helper hosts libxenlight: spawn -> hello -> start -> libxenlight makes the
domain, has its memory read by libxlpy-save-helper, makes its devices -> its monitor ->
it runs -> complete -> exit. If that fails before the guest has run for the first time,
nothing is left of it: libxenlight removes it, or another process does if the helper
could not.
"""

import os
import sys
from dataclasses import replace
from typing import Any

from libxlpy.backend import Backend
from libxlpy.domain import hypercalls, toolstack_xen
from libxlpy.domain.info import DomainFacts
from libxlpy.domain.repair import TRIES, ask_guest
from libxlpy.errors import UsageError
from libxlpy.jobs.operation import AnswerTo, Plan, Settled
from libxlpy.jobs.run import JobRun
from libxlpy.operations.restore_simxen import RESTORE_ENTRY, restore_result
from libxlpy.operations.restore_target import Target
from libxlpy.ops import ops_helper
from libxlpy.process.environment import Environment
from libxlpy.repair_facts import failed
from libxlpy.results import JobReport, RestoreResult
from libxlpy_protocol.enums import Image, Mode
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import CallMessage, Start

#: Phase in which the build helper waits for the stream, however slow.
MEMORY = "memory"
REMOVED = "half-built domain destroyed"
NO_FD = -1


class XenRestore(Plan[RestoreResult]):
    """One restore by libxenlight."""

    calls = frozenset()
    library = "libxenlight"

    def __init__(
        self, target: Target, env: Environment, *, paused: bool, monitor: bool
    ) -> None:
        """Restore into a domain that libxenlight makes.

        Args:
            target: The domain; on failure there is none.
            env: Backend, deadlines, hooks.
            paused: Leave the guest paused.
            monitor: Have a process look after the domain, as ``xl`` does.
        """
        self.what = f"restore of domain {target.name}"
        self.domid = target.domid
        self._target = target
        self._env = env
        self._options = ["--paused"] * paused + ["--monitor"] * monitor
        self._config_fd = NO_FD

    def journal(self) -> dict[str, Any]:
        """See the base class."""
        return RESTORE_ENTRY

    # ----- the helper -------------------------------------------------------------

    @property
    def env(self) -> Environment:
        """What the job runs in; an abort gets the time that libxenlight needs."""
        deadlines = self._env.deadlines
        patient = replace(deadlines, abort_grace=deadlines.destroy)
        return replace(self._env, deadlines=patient, argv=self._argv)

    def inherited(self) -> list[int]:
        """See the base class: the configuration."""
        self._config_fd = os.memfd_create("libxlpy-config")
        os.write(self._config_fd, self._target.config)
        os.lseek(self._config_fd, 0, os.SEEK_SET)
        return [self._config_fd]

    def _argv(self, backend: Backend) -> list[str]:
        return [
            *(sys.executable, "-I", "-m", toolstack_xen.MODULE),
            *("--parent", str(os.getpid()), "--config-fd", str(self._config_fd)),
            *self._options,
        ]

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        return Start(
            Mode.RESTORE, domid=self.domid, image=Image.LIBXL, stream_fd=stream_fd
        )

    async def answer(self, call: CallMessage, run: JobRun) -> AnswerTo:
        """Refuse: libxenlight answers libxenguest."""
        raise UsageError(f"{type(call).__name__} has no place in a build")

    def limit(self, call: CallMessage) -> float:
        """Give the deadline of a callback."""
        return self._env.deadlines.callback

    def phase_limit(self, phase: str) -> float | None:
        """See the base class; only the stream is waited for without a bound."""
        return None if phase == MEMORY else self._env.deadlines.build

    # ----- the end ----------------------------------------------------------------

    async def settle(self, run: JobRun) -> Settled:
        """After a failure see that nothing is left; ask where the guest is."""
        if self._config_fd != NO_FD:
            os.close(self._config_fd)
            self._config_fd = NO_FD
        facts: tuple[str, ...] = ()
        if run.failure is not None and run.started:
            facts = await self._clean(run)
        settled = await ask_guest(self._env, self.domid, self._target.uuid)
        return Settled(settled.guest, (*facts, *settled.repairs))

    async def _clean(self, run: JobRun) -> tuple[str, ...]:
        """Remove what the helper has left, if it has; give what was done."""
        told = ""
        for _ in range(TRIES):
            try:
                async with ops_helper(self._env) as ops:
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
            await toolstack_xen.destroy(self._env, self.domid, found.uuid)
        except LibxlpyError as exc:
            return (failed(REMOVED, exc),)
        return (REMOVED,)

    def _is_half_built(self, found: DomainFacts, *, told_all: bool) -> bool:
        """Tell a domain that is ours, has never run, and that nobody removes.

        One that has run may have written to its disks: from then on the file is no
        longer its last state, and to destroy it would be to lose it.
        """
        if found.uuid != self._target.uuid:
            return False
        return not told_all if found.dying else found.paused

    def result(self, run: JobRun, report: JobReport) -> RestoreResult:
        """Give what a restore that succeeded has done."""
        return restore_result(run, report, name=self._target.name)
