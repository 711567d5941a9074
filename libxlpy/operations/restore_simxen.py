"""Restore one domain of an embedded host, in order of execution.

The embedded host makes an empty domain, which ends with us until the journal has the
job -> a file is looked through -> spawn -> hello -> start -> memory and vcpus -> device
model's nodes and state -> END -> complete -> exit -> the host launches the guest. Any
failure destroys the half-built domain. For real Xen see ``restore_xen``.
"""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from libxlpy.aio import finish
from libxlpy.callbacks import AnswerTo
from libxlpy.domain.repair import ask_guest, failed
from libxlpy.domain.toolstack_simxen import Building, SimxenToolstack
from libxlpy.errors import UsageError, XenError
from libxlpy.jobs.operation import Access, Operation, Run
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.later import Later, load
from libxlpy.operations.input import check_input
from libxlpy.operations.restore_target import Wanted
from libxlpy.process.environment import Environment
from libxlpy.results.of_jobs import RestoreResult
from libxlpy.results.report import JobReport, Kind, Settled
from libxlpy.streams import Format
from libxlpy_protocol.enums import Image, Mode
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import (
    CallMessage,
    Start,
    StaticDataDone,
    ToolstackRestore,
)
from libxlpy_protocol.stream.libxl import EMULATOR_QEMU
from libxlpy_protocol.table import callback_mask

if TYPE_CHECKING:
    from libxlpy.domain import device_model
else:  # only an HVM guest has one
    device_model = Later("libxlpy.domain.device_model")

logger = logging.getLogger("libxlpy")

#: Fact of a domain that a failed restore had begun to fill.
DESTROYED = "half-built domain destroyed"


class SimxenRestore(Operation[RestoreResult]):
    """One restore into a domain of the embedded host."""

    kind: Kind = "restore"
    access: Access = "read"
    calls = frozenset({StaticDataDone, ToolstackRestore})

    def __init__(
        self, env: Environment, toolstack: SimxenToolstack, target: Wanted
    ) -> None:
        """Restore into a domain that the host makes; on failure there is none.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            toolstack: Of the host.
            target: What the domain is to be.
        """
        super().__init__(env)
        self._toolstack = toolstack
        self._wanted = target
        self._name = ""
        self._building: Building | None = None

    @property
    def what(self) -> str:
        """See the base class."""
        return f"restore of domain {self._name}"

    async def choose(self) -> None:
        """Have the host make an empty domain, and know it, whoever cancels us."""
        await finish(asyncio.create_task(self._build()))

    async def _build(self) -> None:
        wanted = self._wanted
        built = await self._toolstack.build(
            wanted.config, wanted.name, keep_uuid=wanted.keep_uuid
        )
        self._building = built
        self.domid, self.uuid, self._name = built.domid, built.uuid, built.name
        if built.has_device_model:
            load(device_model)  # while nothing was read yet

    async def prepare(self) -> None:
        """Have who can say where the domain is, before anything may be scarce."""
        with contextlib.suppress(LibxlpyError):  # the job will meet that
            async with self.env.hypercalls():
                pass

    def _made(self) -> Building:
        assert self._building is not None  # chosen before all else
        return self._building

    async def discard(self) -> None:
        """Destroy the empty domain, or leave that to its host."""
        if self._building is None:
            return
        try:
            await self._toolstack.remove(self.domid, self.uuid)
        except LibxlpyError as exc:  # it was not kept yet, so that it ends with us
            told = f"{failed(DESTROYED, exc)}; its host does that"
            logger.warning("%s: %s", self.what, told)
        await self._building.let_go()

    async def check(self, stream: StreamFd) -> None:
        """Have the domain kept, as the journal knows it; see that a file is whole."""
        await self._keep()
        await check_input(stream, Format.LIBXL, self.deadlines.check)

    async def _keep(self) -> None:
        try:
            await self._made().keep()
        except LibxlpyError as exc:
            raise XenError(-1, 0, f"the host could not keep the domain: {exc}") from exc

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        backend = self.env.backend
        return Start(
            Mode.RESTORE,
            domid=self.domid,
            callback_mask=callback_mask(self.calls),
            image=Image.LIBXL,
            stream_fd=stream_fd,
            emulator_id=EMULATOR_QEMU,
            emulator_path=str(backend.resume_path(self.domid))
            if self._made().has_device_model
            else "",
            claim_pages=self._wanted.claim_pages,
            xenstore_path=str(backend.xenstore_socket),
        )

    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        """Do what the helper asks for."""
        match call:
            case StaticDataDone():
                return 0  # the embedded host needs no policy of its own
            case ToolstackRestore(data=data):
                new = device_model.DeviceModel
                await new(self.env, self.domid, "", self.guest).put_back(data)
                return 0
            case _:
                raise UsageError(f"{type(call).__name__} has no place in a restore")

    # ----- the end ----------------------------------------------------------------

    async def settle(self, run: Run) -> Settled:
        """Launch the guest, or destroy what was built; ask where it is."""
        if run.failure is None:
            await self._launch(run)
        facts: list[str] = []
        if run.failure is not None:
            try:
                await self._toolstack.remove(self.domid, self.uuid)
                facts.append(DESTROYED)
            except LibxlpyError as exc:
                facts.append(failed(DESTROYED, exc))
            await self._made().let_go()
        settled = await ask_guest(self.env, self.domid, self.uuid)
        return Settled(settled.guest, (*facts, *settled.repairs))

    async def _launch(self, run: Run) -> None:
        run.enter("launch")
        paused = self._wanted.paused
        try:
            await self._toolstack.launch(self.domid, self.uuid, paused=paused)
        except LibxlpyError as exc:
            run.fail(XenError(-1, 0, f"the host could not launch the guest: {exc}"))

    def result(self, run: Run, report: JobReport) -> RestoreResult:
        """Give what a restore that succeeded has done."""
        record = run.record
        return RestoreResult.of(report, record.stat, record.restore_results, self._name)
