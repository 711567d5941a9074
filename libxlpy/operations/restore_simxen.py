"""Restore one domain of an embedded host, in order of execution.

The embedded host builds an empty domain -> spawn -> hello -> start -> memory and vcpus
-> device model's nodes and state -> END -> complete -> exit -> the host launches the
guest. Any failure destroys the half-built domain. For real Xen see ``xen_restore``.
"""

import asyncio
import contextlib
from typing import Any

from libxlpy.domain.device_model import EMULATOR_QEMU, DeviceModel
from libxlpy.domain.repair import ask_guest
from libxlpy.errors import BackendError, UsageError, XenError
from libxlpy.jobs.operation import AnswerTo, Plan, Settled
from libxlpy.jobs.run import JobRun
from libxlpy.process.environment import Environment
from libxlpy.repair_facts import failed
from libxlpy.results import JobReport, RestoreResult
from libxlpy.simxen.client import SimClient
from libxlpy_protocol.enums import Image, Mode
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import (
    CallMessage,
    RestoreResults,
    Start,
    StaticDataDone,
    ToolstackRestore,
)
from libxlpy_protocol.table import callback_mask

#: What the journal is told of any restore.
RESTORE_ENTRY: dict[str, Any] = {
    "kind": "restore",
    "type": "",
    "on_parent_loss": "abort_and_resume",
    "state_path": "",
}
#: Seconds for the embedded host to launch or destroy a guest.
HOST_TIMEOUT = 30.0
#: Fact of a domain that a failed restore had begun to fill.
DESTROYED = "half-built domain destroyed"


class DomainRestore(Plan[RestoreResult]):
    """One restore into a domain of the embedded host."""

    calls = frozenset({StaticDataDone, ToolstackRestore})

    def __init__(
        self, domid: int, name: str, env: Environment, *, paused: bool
    ) -> None:
        """Restore into a domain that was created for it.

        Args:
            domid: Empty domain, built by the host; destroyed on failure.
            name: As it was created.
            env: Backend, deadlines, hooks.
            paused: Leave the guest paused.
        """
        self.what = f"restore of domain {name}"
        self.domid = domid
        self._name = name
        self._paused = paused
        self._env = env
        self._device_model = DeviceModel(domid, "", env.backend, env.deadlines)

    def journal(self) -> dict[str, Any]:
        """See the base class."""
        return RESTORE_ENTRY

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        backend = self._env.backend
        return Start(
            Mode.RESTORE,
            domid=self.domid,
            callback_mask=callback_mask(self.calls),
            image=Image.LIBXL,
            stream_fd=stream_fd,
            emulator_id=EMULATOR_QEMU,
            emulator_path=str(backend.resume_path(self.domid)),
            xenstore_path=str(backend.xenstore_socket),
        )

    async def answer(self, call: CallMessage, run: JobRun) -> AnswerTo:
        """Do what the helper asks for."""
        match call:
            case StaticDataDone():
                return 0  # the embedded host needs no policy of its own
            case ToolstackRestore(data=data):
                await self._device_model.put_back(data)
                return 0
            case _:
                raise UsageError(f"{type(call).__name__} has no place in a restore")

    def limit(self, call: CallMessage) -> float:
        """Give the deadline of a callback."""
        return self._env.deadlines.callback

    async def discard(self) -> None:
        """Destroy the empty domain."""
        with contextlib.suppress(LibxlpyError):
            await self._ask_host("destroy")

    # ----- the end ----------------------------------------------------------------

    async def settle(self, run: JobRun) -> Settled:
        """Launch the guest, or destroy what was built; ask where it is."""
        if run.failure is None:
            run.enter("launch")
            try:
                await self._ask_host("launch", name=self._name, paused=self._paused)
            except LibxlpyError as exc:
                text = f"the host could not launch the guest: {exc}"
                run.fail(XenError(-1, 0, text))
        facts: list[str] = []
        if run.failure is not None:
            try:
                await self._ask_host("destroy")
                facts.append(DESTROYED)
            except LibxlpyError as exc:
                facts.append(failed(DESTROYED, exc))
        settled = await ask_guest(self._env, self.domid, self.uuid)
        return Settled(settled.guest, (*facts, *settled.repairs))

    async def _ask_host(self, do: str, **fields: Any) -> None:
        host = self._env.backend.host
        assert host is not None  # Context restores on the embedded host only
        try:
            async with asyncio.timeout(HOST_TIMEOUT), SimClient(host) as client:
                await client.ask(do, domid=self.domid, uuid=self.uuid, **fields)
        except TimeoutError as exc:
            raise BackendError(f"no answer in {HOST_TIMEOUT:g} s") from exc

    def result(self, run: JobRun, report: JobReport) -> RestoreResult:
        """Give what a restore that succeeded has done."""
        return restore_result(run, report, name=self._name)


def restore_result(run: JobRun, report: JobReport, *, name: str) -> RestoreResult:
    """Put a restore's result together."""
    rings = run.record.restore_results or RestoreResults(0, 0)
    stat = run.record.stat
    return RestoreResult(
        domid=report.domid,
        name=name,
        guest=report.guest,
        store_gfn=rings.store_gfn,
        console_gfn=rings.console_gfn,
        bytes_read=stat.bytes_done if stat else 0,
        timeline=report.timeline,
        duration=report.duration,
        report=report,
    )
