"""Save one domain, in order of execution.

spawn -> hello -> start -> [device model logs dirty pages] -> precopy -> suspend: guest,
if its device model is there, then device model -> last pages -> device model's xenstore
nodes and state -> END -> complete -> exit -> where is the guest. On success it is left
suspended, as libxl leaves it: the caller resumes or destroys it.

Xen: tools/libs/light/libxl_dom_save.c.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from libxlpy.callbacks import AnswerTo, precopy_stats
from libxlpy.domain import requests
from libxlpy.domain.info import DomainInfo
from libxlpy.domain.repair import QUIET, Repair, ask_guest, failed
from libxlpy.domain.suspend import GuestSuspend
from libxlpy.errors import (
    BackendError,
    GuestFailed,
    GuestTimedOut,
    HelperCrashed,
    NotSupported,
    ProtocolViolation,
    TimedOut,
    UsageError,
)
from libxlpy.jobs.operation import Access, Operation, Result, Run
from libxlpy.jobs.stall import StallPolicy
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.later import Later, load
from libxlpy.operations.flags import OWN, SuspendFlags, check_can_suspend, xc_flags
from libxlpy.operations.written import check_count, check_image, check_whole
from libxlpy.process.environment import Environment, found
from libxlpy.process.helper import start_process
from libxlpy.process.link import HelperLink, uuid_bytes
from libxlpy.results.of_jobs import SaveResult
from libxlpy.results.report import GuestState, JobReport, Kind, Settled
from libxlpy.streams import Format
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
from libxlpy_protocol.stream.libxl import EMULATOR_QEMU
from libxlpy_protocol.table import callback_mask
from libxlpy_protocol.xen import PAGE_SIZE, XTL_WARN

if TYPE_CHECKING:
    from libxlpy import policies
    from libxlpy.domain import device_model
    from libxlpy.operations import libxl_engine
else:  # each is loaded before the job begins, if it needs it: see prepare()
    policies = Later("libxlpy.policies")
    device_model = Later("libxlpy.domain.device_model")
    libxl_engine = Later("libxlpy.operations.libxl_engine")

#: A guest that was let run from the state that was saved is not in the image.
RUNS = (GuestState.RUNNING, GuestState.PAUSED)
RAN_ON = "somebody let the guest run again before its save had ended"
#: Told of a save into a pipe by a helper whose I/O is not for us to see.
NOT_COUNTED = "what went into the pipe was not counted: only root may see that"
NOT_TOLD = "libxl-save-helper can't be told to stop and copy"
#: Suspend's answers to libxenguest; 0 would be "failed".
SUSPENDED = 1


class GuestSave(Operation[Result]):
    """One guest suspended, with all that it is in a stream; what then, derives."""

    kind: Kind = "save"
    access: Access = "write"

    def __init__(
        self,
        env: Environment,
        domid: int,
        flags: SuspendFlags,
        *,
        helper: str = OWN,
        on_parent_loss: OnParentLoss = OnParentLoss.ABORT_AND_RESUME,
        stall: StallPolicy | None = None,
        policy: "policies.AnyPolicy | None" = None,
    ) -> None:
        """Save a domain.

        Args:
            env: Backend, deadlines, the helpers for hypercalls.
            domid: Of the domain.
            flags: LIVE, DEBUG.
            helper: What writes the libxc stream, see :func:`.libxl_engine.find_helper`.
            on_parent_loss: What the helper does should we die.
            stall: See the base class.
            policy: See the base class.

        Raises:
            UsageError: ``flags`` has a bit that means nothing, or ``policy`` is none.
        """
        super().__init__(env, stall=stall, policy=policy)
        self.domid = domid
        self._live = SuspendFlags.LIVE in flags
        self._flags = xc_flags(flags)
        self._choice = helper
        self._on_parent_loss = on_parent_loss
        # ----- known once it is prepared -----
        self._program: Path | None = None
        self._suspend: GuestSuspend
        self._pages = 0
        self._device_model: device_model.DeviceModel | None = None
        # ----- while it runs -----
        self._libxl: libxl_engine.LibxlRun | None = None
        self._stream_fd = -1

    # ----- before the job ---------------------------------------------------------

    async def choose(self) -> None:
        """Find Xen's helper, if it is to write the libxc stream."""
        choice, backend = self._choice, self.env.backend
        if choice != OWN:
            find = libxl_engine.find_helper
            self._program = await found(lambda: find(choice, backend))
        if self.policy is not None:
            self.check_asks()
        elif self.stall.may_stop and self._program is not None:
            raise NotSupported(NOT_TOLD)

    def check_asks(self) -> None:
        """See that it is live, and by our own helper: Xen's asks nobody."""
        if self._program is not None:
            raise NotSupported(NOT_TOLD)
        if not self._live:
            super().check_asks()

    async def prepare(self) -> None:
        """See that the domain can be saved so."""
        info = await requests.look(self.env, self.domid)
        check_can_suspend(info)
        if self._live:
            await requests.check_can_log(self.env, info)
            load(policies)  # libxenguest will ask, and a late load may fail
        self.take(info)

    def take(self, info: DomainInfo) -> None:
        """Take the domain as it was found."""
        env, domid, uuid, kind = self.env, info.domid, info.uuid, info.type
        self._pages = info.memory_kib * 1024 // PAGE_SIZE
        self.uuid = uuid
        self._suspend = GuestSuspend(env, domid, uuid, kind, self.guest)
        # The policy may be set while it runs: libxenguest has to ask in any case,
        # which costs two calls a pass, tenths of a millisecond while the guest runs.
        calls: set[type[Message]] = {Suspend, SwitchQemuLogdirty, PrecopyPolicy}
        if self._program is not None:
            calls = {SaveLibxc}
        if kind == "hvm":
            new = device_model.DeviceModel
            self._device_model = new(env, domid, uuid, self.guest)
            self._suspend.device_model = self._device_model
            calls.add(ToolstackSave)
        self.calls = frozenset(calls)

    def journal(self) -> dict[str, Any]:
        """See the base class."""
        path = self.env.backend.save_path(self.domid)
        return {
            **super().journal(),
            "type": self._suspend.kind,
            "live": self._live,
            "on_parent_loss": self._on_parent_loss.name.lower(),
            "state_path": str(path) if self._device_model is not None else "",
        }

    # ----- the helper -------------------------------------------------------------

    def start(self, stream_fd: int) -> Start:
        """Give the helper's start message."""
        self._stream_fd = stream_fd
        backend = self.env.backend
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

    def began(self, run: Run) -> None:
        """See the base class; the helper hears whether we are there from here on."""
        if run.link is not None and self._on_parent_loss is not OnParentLoss.FINISH:
            run.link.show_presence(self.deadlines.parent_silent)

    # ----- callbacks, in order of execution ---------------------------------------

    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        """Do what libxenguest asks for."""
        match call:
            case SwitchQemuLogdirty(enable=enable):
                return await self._switch_qemu_logdirty(run, enable=enable)
            case Suspend():
                return await self._suspend_guest(run)
            case PrecopyPolicy():
                stats = precopy_stats(call)
                return int(await run.precopy.decide(stats, self._pages))
            case SaveLibxc() if self._program is not None:
                return await self._save_libxc(run, self._program)
            case ToolstackSave() if self._device_model is not None:
                return await self._device_model.collect()
            case _:
                raise UsageError(f"{type(call).__name__} has no place in a save")

    async def _switch_qemu_logdirty(self, run: Run, *, enable: bool) -> int:
        if self._device_model is not None:
            await self._device_model.log_dirty(run.link, enable=enable)
            if self.guest.suspended:
                await self._device_model.leave()
        return 0  # no device model (PV, PVH): nothing to switch

    async def _suspend_guest(self, run: Run) -> int:
        assert run.link is not None
        run.precopy.close()
        run.enter("suspend")
        self._suspend.remark = lambda text: run.record.news(
            Log(XTL_WARN, -1, "libxlpy", text)
        )
        await self._ask_guest(run.link)
        run.record.meter.suspended(self._suspend.suspended_at)
        if self._device_model is not None:
            run.enter("device model")
            await self._device_model.stop_and_save(run.link)
            await self._device_model.leave()
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

    async def _save_libxc(self, run: Run, program: Path) -> int:
        argv = libxl_engine.save_argv(program, self._stream_fd, self.domid, self._flags)
        seconds = self.deadlines.spawn
        try:
            process = await start_process(argv, [self._stream_fd], seconds)
        except TimeoutError as exc:
            raise TimedOut("spawn", seconds) from exc
        except BackendError as exc:
            raise HelperCrashed(how=str(exc)) from exc
        self._libxl = libxl_engine.LibxlRun(self, run, process, self._stream_fd)
        await self._libxl.done()
        return 0

    def observe(self, stat: Stat) -> Stat:
        """See the base class."""
        return stat if self._libxl is None else self._libxl.observe(stat)

    def limit(self, call: CallMessage) -> float | None:
        """Give the deadline of a callback."""
        return self.env.deadlines.of_call(type(call))

    # ----- the end ----------------------------------------------------------------

    def guards(self, stream: StreamFd) -> bool:
        """Tell whether the guest is to run again should we die; see ``jobs.guard``."""
        match self._on_parent_loss:
            case OnParentLoss.FINISH:
                return False
            case OnParentLoss.RESUME_UNLESS_RELEASED:
                return True
            case _:
                return not stream.has_reader

    async def examine(self, run: Run, stream: StreamFd) -> None:
        """See that the guest was suspended and that the stream is whole."""
        if not self.guest.suspended:
            text = "it claims to have saved a guest that it never had suspended"
            raise ProtocolViolation(text)
        kind, pages = self._suspend.kind, self._pages
        walked = await check_whole(stream, Format.LIBXL, self.deadlines.flush)
        if walked is not None:
            check_image(walked, kind, pages)
            return
        written = stream.length()
        if written is None and stream.has_reader:
            written = self._counted(run)
            if written is None:
                run.record.news(Log(XTL_WARN, -1, "libxlpy", NOT_COUNTED))
        if written is not None:
            check_count(written, kind, pages)

    def _counted(self, run: Run) -> int | None:
        """Give the bytes that all who write the stream have; None if nobody tells."""
        links = [run.link] if self._libxl is None else [run.link, self._libxl.link]
        counts = [link.written() for link in links if link is not None]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(links) else None

    async def settle(self, run: Run) -> Settled:
        """Repair if the save failed; ask where the guest is."""
        if self._libxl is not None:
            await self._libxl.gone()
        try:
            if run.failure is not None and run.started:
                return await self._repair(run)
            settled = await ask_guest(self.env, self.domid, self.uuid)
            if run.started and settled.guest in RUNS:
                run.fail(GuestFailed(settled.guest.value, RAN_ON))
                return await self._repair(run)
            return settled.also(*await self._stop_logging())
        finally:
            await self._leave_device_model()

    async def _repair(self, run: Run) -> Settled:
        """Let the guest run on; migrations do so after :meth:`settle`, too."""
        try:
            settled = await Repair(self.env, self._suspend, self._device_model).run()
        finally:
            await self._leave_device_model()
        run.record.meter.resumed(self._suspend.resumed_at)
        return settled

    async def _leave_device_model(self) -> None:
        if self._device_model is not None:
            await self._device_model.close()

    async def abandon(self, run: Run) -> Settled | None:
        """Let the guest run on: nobody knows that it is suspended."""
        return await self._repair(run)

    async def _stop_logging(self) -> list[str]:
        """Switch off what libxenguest's own clean-up has left on, if any."""
        if self._device_model is None or not self.guest.logging:
            return []
        repair = Repair(self.env, self._suspend, self._device_model)
        try:
            async with self.env.hypercalls() as ops:
                await repair.quiet_device_model(self._device_model, ops)
        except LibxlpyError as exc:
            return [failed(QUIET, exc)]
        return repair.told


class DomainSave(GuestSave[SaveResult]):
    """One save of one domain; success leaves it suspended, failure running."""

    leaves_suspended = True

    def result(self, run: Run, report: JobReport) -> SaveResult:
        """Give what a save that succeeded has done."""
        return SaveResult.of(report, run.record.stat)
