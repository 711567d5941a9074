"""Save one domain, in order of execution.

spawn -> hello -> start -> [device model logs dirty pages] -> precopy -> suspend: guest,
if its device model is there, then device model -> last pages -> device model's xenstore
nodes and state -> END -> complete -> exit -> where is the guest. On success it is left
suspended, as libxl leaves it: the caller resumes or destroys it.

Xen: tools/libs/light/libxl_dom_save.c.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from libxlpy.callbacks import precopy_stats
from libxlpy.domain.device_model import EMULATOR_QEMU, DeviceModel
from libxlpy.domain.info import DomainInfo, uuid_bytes
from libxlpy.domain.repair import QUIET, Repair, ask_guest
from libxlpy.domain.suspend import GuestSuspend
from libxlpy.errors import (
    BackendError,
    GuestTimedOut,
    HelperCrashed,
    NotSupported,
    TimedOut,
    UsageError,
)
from libxlpy.jobs.operation import AnswerTo, Plan, Settled
from libxlpy.jobs.run import JobRun
from libxlpy.operations.flags import SuspendFlags, xc_flags
from libxlpy.operations.libxl_engine import LibxlSave, save_argv
from libxlpy.ops import ops_helper
from libxlpy.process.environment import Environment
from libxlpy.process.helper import start_process
from libxlpy.process.link import HelperLink
from libxlpy.repair_facts import failed
from libxlpy.results import JobReport, SaveResult
from libxlpy_protocol.enums import Image, Mode, OnParentLoss
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import (
    CallMessage,
    Log,
    Message,
    PrecopyPolicy,
    SaveLibxc,
    Start,
    Stat,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackSave,
)
from libxlpy_protocol.table import callback_mask

#: Xentoollog's level of warnings, ``XTL_WARN``.
LEVEL_WARN = 7
#: Suspend's answers to libxenguest; 0 would be "failed".
SUSPENDED = 1


class DomainSave(Plan[SaveResult]):
    """One save of one domain."""

    leaves_suspended = True

    def __init__(
        self,
        info: DomainInfo,
        flags: SuspendFlags,
        env: Environment,
        helper: Path | None = None,
        on_parent_loss: OnParentLoss = OnParentLoss.ABORT_AND_RESUME,
    ) -> None:
        """Save a domain.

        Args:
            info: The domain, as it was found.
            flags: LIVE, DEBUG.
            env: Backend, deadlines, hooks.
            helper: Xen's libxl-save-helper, to have the libxc stream written by it.
            on_parent_loss: What the helper does should we die.
        """
        domid, kind = info.domid, info.type
        self.what = f"save of domain {domid}"
        self.domid = domid
        self.uuid = info.uuid
        self._flags = xc_flags(flags)
        self._env = env
        backend, deadlines = env.backend, env.deadlines
        self._suspend = GuestSuspend(domid, self.uuid, kind, backend, deadlines)
        self._device_model: DeviceModel | None = None
        self._helper = helper
        self._on_parent_loss = on_parent_loss
        self._libxl: LibxlSave | None = None
        self._stream_fd = -1
        calls: set[type[Message]] = {Suspend, SwitchQemuLogdirty}
        if env.stall.may_stop or env.precopy_policy:
            if helper is not None:
                raise NotSupported("libxl-save-helper can't be told to stop and copy")
            calls.add(PrecopyPolicy)
        if helper is not None:
            calls = {SaveLibxc}
        if kind == "hvm":
            self._device_model = DeviceModel(domid, self.uuid, backend, deadlines)
            calls.add(ToolstackSave)
        self.calls = frozenset(calls)

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        self._stream_fd = stream_fd
        backend = self._env.backend
        qemu = self._device_model is not None
        return Start(
            Mode.SAVE,
            domid=self.domid,
            flags=self._flags,
            callback_mask=callback_mask(self.calls),
            image=Image.LIBXL,
            stream_fd=stream_fd,
            emulator_id=EMULATOR_QEMU if qemu else 0,
            emulator_path=str(backend.save_path(self.domid)) if qemu else "",
            on_parent_loss=self._on_parent_loss,
            xenstore_path=str(backend.xenstore_socket),
            qmp_path=str(backend.qmp_path(self.domid)) if qemu else "",
            uuid=uuid_bytes(self.uuid),
        )

    # ----- journal ----------------------------------------------------------------

    def journal(self) -> dict[str, Any]:
        """See the base class."""
        path = self._env.backend.save_path(self.domid)
        return {
            "kind": "save",
            "type": self._suspend.kind,
            "on_parent_loss": self._on_parent_loss.name.lower(),
            "state_path": str(path) if self._device_model is not None else "",
        }

    def facts(self) -> dict[str, Any]:
        """See the base class."""
        suspend, device_model = self._suspend, self._device_model
        return {
            "asked": suspend.asked,
            "acked": suspend.acked,
            "suspended": suspend.suspended,
            "was_suspended": suspend.was_suspended,
            "logging": device_model is not None and device_model.logging,
            "stopped": device_model is not None and device_model.stopped,
        }

    def noted_by(self, note: Callable[[], None]) -> None:
        """See the base class."""
        self._suspend.changed = note
        if self._device_model is not None:
            self._device_model.changed = note

    # ----- callbacks, in order of execution ---------------------------------------

    async def answer(self, call: CallMessage, run: JobRun) -> AnswerTo:
        """Do what libxenguest asks for."""
        match call:
            case SwitchQemuLogdirty(enable=enable):
                return await self._switch_qemu_logdirty(run, enable=enable)
            case Suspend():
                return await self._suspend_guest(run)
            case PrecopyPolicy():
                return int(await run.stall.decide(precopy_stats(call)))
            case SaveLibxc() if self._helper is not None:
                return await self._save_libxc(run, self._helper)
            case ToolstackSave() if self._device_model is not None:
                return await self._device_model.collect()
            case _:
                raise UsageError(f"{type(call).__name__} has no place in a save")

    async def _switch_qemu_logdirty(self, run: JobRun, *, enable: bool) -> int:
        if self._device_model is not None:
            await self._device_model.log_dirty(run.link, enable=enable)
        return 0  # no device model (PV, PVH): nothing to switch

    async def _suspend_guest(self, run: JobRun) -> int:
        assert run.link is not None
        run.enter("suspend")
        self._suspend.remark = lambda text: run.record.news(
            Log(LEVEL_WARN, -1, "libxlpy", text)
        )
        await self._ask_guest(run.link)
        run.record.meter.suspended(self._suspend.suspended_at)
        if self._device_model is not None:
            run.enter("device model")
            await self._device_model.stop_and_save(run.link)
        run.enter("suspended")
        return SUSPENDED

    async def _ask_guest(self, ops: HelperLink) -> None:
        """Have the guest suspend; one whose device model fails it can't."""
        await self._check_device_model(ops)
        try:
            await self._suspend.suspend(ops)
        except GuestTimedOut:
            await self._check_device_model(ops)
            raise

    async def _check_device_model(self, ops: HelperLink) -> None:
        if self._device_model is None:
            return
        try:
            await self._device_model.check(ops)
        except LibxlpyError:
            await self._suspend.check(ops)  # a guest that has ended has none
            raise

    async def _save_libxc(self, run: JobRun, helper: Path) -> int:
        argv = save_argv(helper, self._stream_fd, self.domid, self._flags)
        seconds = self._env.deadlines.spawn
        try:
            process = await start_process(argv, [self._stream_fd], seconds)
        except TimeoutError as exc:
            raise TimedOut("spawn", seconds) from exc
        except BackendError as exc:
            raise HelperCrashed(how=str(exc)) from exc
        self._libxl = LibxlSave(run, process, self._stream_fd)
        await self._libxl.done()
        return 0

    def observe(self, stat: Stat) -> Stat:
        """See the base class."""
        return stat if self._libxl is None else self._libxl.observe(stat)

    def limit(self, call: CallMessage) -> float | None:
        """Give the deadline of a callback."""
        return self._env.deadlines.of_call(type(call))

    # ----- the end ----------------------------------------------------------------

    async def settle(self, run: JobRun) -> Settled:
        """Repair if the save failed; ask where the guest is."""
        if self._libxl is not None:
            await self._libxl.gone()
        try:
            if run.failure is not None and run.started:
                return await self._repair(run)
            settled = await ask_guest(self._env, self.domid, self.uuid)
            return settled.also(*await self._stop_logging())
        finally:
            if self._device_model is not None:
                await self._device_model.close()

    async def _repair(self, run: JobRun) -> Settled:
        settled = await Repair(self._env, self._suspend, self._device_model).run()
        run.record.meter.resumed(self._suspend.resumed_at)
        return settled

    async def abandon(self, run: JobRun) -> Settled:
        """Let the guest run on: nobody knows that it is suspended."""
        try:
            return await self._repair(run)
        finally:
            if self._device_model is not None:
                await self._device_model.close()

    async def _stop_logging(self) -> list[str]:
        """Switch off what libxenguest's own clean-up has left on, if any."""
        if self._device_model is None or not self._device_model.logging:
            return []
        repair = Repair(self._env, self._suspend, self._device_model)
        try:
            async with ops_helper(self._env) as ops:
                await repair.quiet_device_model(self._device_model, ops)
        except LibxlpyError as exc:
            return [failed(QUIET, exc)]
        return repair.facts

    def result(self, run: JobRun, report: JobReport) -> SaveResult:
        """Give what a save that succeeded has done."""
        self._env.suspended.add(self.domid, self.uuid, run.record.meter)
        return save_result(run, report)


def save_result(run: JobRun, report: JobReport) -> SaveResult:
    """Put the result of a save that succeeded together."""
    stat = run.record.stat
    return SaveResult(
        domid=report.domid,
        guest=report.guest,
        image=report.image,
        iterations=stat.iteration if stat else 0,
        pages=stat.pages if stat else 0,
        bytes_written=stat.bytes_done if stat else 0,
        downtime_ns=round((report.statistics.downtime or 0.0) * 1e6),
        timeline=report.timeline,
        duration=report.duration,
        report=report,
    )
