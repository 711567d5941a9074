"""The messages, whose annotations are the wire types.

What may be done with each (number, sender, modes, answer ...) is in ``MESSAGES`` of
:mod:`libxlpy_protocol.table`. Fields go on the wire in the order written here. Numbers
that mean "none" are -1, texts that mean "none" are empty.
"""

from libxlpy_protocol.enums import Image, Mode, OnParentLoss, Op, StreamType, XcFlags
from libxlpy_protocol.fields import (
    I32,
    I64,
    LARGE_BODY_MAX,
    U8,
    U32,
    U64,
    AnswerValue,
    BodyLimit,
    Name,
    Path,
    Text,
    ToolstackData,
    UuidBytes,
    Wide,
)
from libxlpy_protocol.value import Value

NO_FLAGS = XcFlags(0)


class Message(Value):
    """Base of all messages."""


# -- Handshake ---------------------------------------------------------------------


class Hello(Message):
    """Who we are; the first frame each way.

    ``library`` names what the helper opened ("" from the parent). ``max_body`` is the
    largest body, in bytes, that the sender of this hello takes.
    """

    version: U32
    min_version: U32
    package: Name
    library: Path = ""
    library_version: Name = ""
    features: tuple[Name, ...] = ()
    max_body: BodyLimit = LARGE_BODY_MAX


class Start(Message):
    """The helper's one job.

    ``callback_mask`` has bit N for each call number N that the parent answers.
    ``emulator_path`` is the file that qemu saved to, or that a restore writes.
    ``emulator_id`` 0 is no emulator, 2 qemu. ``xenstore_path`` and ``qmp_path`` are
    sockets, only for the repair after the parent is lost, and for the monitor that a
    builder starts. ``uuid`` is the guest's own handle: a domid is used again once its
    domain is gone; empty if not known. ``claim_pages`` is what a restore has the
    hypervisor set aside for the domain before it reads a page, 0 nothing.
    """

    mode: Mode
    domid: U32 = 0
    flags: XcFlags = NO_FLAGS
    callback_mask: U64 = 0
    stream_type: StreamType = StreamType.PLAIN
    image: Image = Image.RAW
    stream_fd: I32 = -1
    recv_fd: I32 = -1
    emulator_id: U32 = 0
    emulator_path: Path = ""
    store_evtchn: U32 = 0
    store_domid: U32 = 0
    console_evtchn: U32 = 0
    console_domid: U32 = 0
    on_parent_loss: OnParentLoss = OnParentLoss.ABORT_AND_RESUME
    xenstore_path: Path = ""
    qmp_path: Path = ""
    uuid: UuidBytes = b""
    claim_pages: U64 = 0


# -- Notices -----------------------------------------------------------------------


class Log(Message):
    """A log line of Xen or of the helper; ``level`` as in xentoollog."""

    level: U8
    errnoval: I32
    context: Name
    text: Text


class Progress(Message):
    """How far Xen is, in whatever unit it counts ``done`` and ``total``."""

    context: Name
    doing_what: Name
    done: U64
    total: U64


class Stat(Message):
    """The heartbeat: sent by the control thread, even while the other is stuck.

    ``bytes_done`` and ``pages`` count from the job's start, ``dirty`` is -1 when not
    known, times are of the process, ``dropped`` counts log lines left out.
    """

    monotonic_ns: U64
    phase: Name
    bytes_done: U64
    pages: U64
    iteration: U32
    dirty: I64
    utime_us: U64
    stime_us: U64
    rss_kib: U64
    dropped: U64


class Phase(Message):
    """The main thread begins a part: "header", "libxc", "emulator", "end", "flush"."""

    name: Name


class RestoreResults(Message):
    """Guest frame numbers of the restored domain's two rings."""

    store_gfn: U64
    console_gfn: U64


class Complete(Message):
    """What xc_domain_save or _restore returned; nothing of the job follows."""

    retval: I32
    errnoval: I32
    aborted: bool


class Abort(Message):
    """Stop the job: every later callback fails at once, Xen cleans up."""

    reason: Text


class Release(Message):
    """The end is settled: the helper may leave.

    After a save to a file that is once the guest is resumed or gone, else once the
    verdict was heard. A helper that reads end of file instead has lost its parent, and
    puts the guest right, unless all of it went into a pipe. Xen: the reply to
    ``complete``.
    """


# -- Calls and their answer --------------------------------------------------------


class Suspend(Message):
    """Suspend the guest; 1 done, 0 failed (Xen's way round)."""


class Postcopy(Message):
    """A checkpoint's memory is sent, resume the guest; 1 go on, 0 stop, < 0 error."""


class Checkpoint(Message):
    """End a checkpoint; save: 1 again, 0 stop; restore: 1 go on, 2 fail over."""


class WaitCheckpoint(Message):
    """Wait until the next checkpoint is wanted; 1 go on, 0 stop, < 0 error."""


class SwitchQemuLogdirty(Message):
    """Switch the dirty logging of an HVM domain's device model; 0 done."""

    domid: U32
    enable: bool


class StaticDataDone(Message):
    """The stream's static data are in; ``missing`` bit 0 CPUID, bit 1 MSR; 0 done."""

    missing: U32


class ToolstackSave(Message):
    """Collect the toolstack's own state of the domain; bytes, nil = failed."""

    domid: U32


class ToolstackRestore(Message):
    """Put back what toolstack_save had collected; 0 done."""

    domid: U32
    data: ToolstackData


class PrecopyPolicy(Message):
    """Decide after a precopy round; -1 abort, 0 continue, 1 stop and copy.

    ``total_written`` counts pages, ``dirty_count`` is -1 when not known.
    """

    iteration: U32
    total_written: U64
    dirty_count: I64


class SaveLibxc(Message):
    """Have another process write the libxc stream to the same stream fd; 0 done.

    Offered by a parent that drives Xen's own helper: ours then writes only libxl's
    records before and after.
    """


class Answer(Message):
    """The answer to the call of the same call id."""

    value: AnswerValue


# -- Domain ops --------------------------------------------------------------------


class DomainOp(Message):
    """A hypercall that the parent needs, done by the helper's control thread.

    ``uuid`` is the domain that is meant: if another has the domid by now, nothing is
    done and the result is ESTALE. Empty for whichever has it.
    """

    op: Op
    domid: U32
    argument: I64 = 0
    uuid: UuidBytes = b""


class AskToSuspend(Message):
    """Ask the guest to suspend by its event channel; 0, or an errno: it was not asked.

    ``port`` is the guest's end, ``lock_path`` a file that the helper keeps locked.
    """

    domid: U32
    port: U32
    lock_path: Path
    uuid: UuidBytes = b""


class SuspendEvent(Message):
    """The event channel has fired, maybe more than once: the guest may be suspended."""


class StopAndCopy(Message):
    """Somebody has sent the helper SIGUSR2: suspend the guest after this pass.

    For the parent to decide, who is asked by ``PrecopyPolicy``. Sent only if it offers
    to answer that.
    """


class Alive(Message):
    """We are there, as all that we say shows; sent again and again. The result is 0.

    If nothing is heard of us for ``silence_ms`` while the guest is suspended for us, we
    may be stopped: then the helper does what it does at end of file. 0: it never does
    so from here on; a result to that shows that it has not done so before, either.
    """

    silence_ms: U32


class LetGo(Message):
    """The guest is given away: the helper is not to touch it, whatever becomes of us.

    The result is 0; one that has let the guest run, or is about to, does not answer.
    """


class FailOver(Message):
    """Take the stream for ended: the domain becomes that of the last whole epoch."""


class OpResult(Message):
    """The result of the op of the same call id.

    ``values`` of INFO and LIST: (domid, flags, shutdown_reason, tot_pages, max_pages,
    nr_online_vcpus, cpu_time_ns, hvm), flags as in Xen's domctl; ``uuid`` the 16 bytes
    of the domain's handle. Of MEMORY: pages that are free, and claimed of these, and
    1 if Xen was booted with ``dom0_mem=``, else 0. Of WRITES: pages written in the
    first half, in all, and nanoseconds of both. Empty for the others and on failure.
    """

    retval: I32
    errnoval: I32 = 0
    values: tuple[Wide, ...] = ()
    uuid: UuidBytes = b""


# -- Unions, for the type checker -------------------------------------------------

#: What the parent answers: ``match`` over it lets the type checker see a gap.
CallMessage = (
    Suspend
    | Postcopy
    | Checkpoint
    | WaitCheckpoint
    | SwitchQemuLogdirty
    | StaticDataDone
    | ToolstackSave
    | PrecopyPolicy
    | ToolstackRestore
    | SaveLibxc
)
#: What a parent may receive.
HelperMessage = (
    CallMessage
    | Hello
    | Log
    | Progress
    | RestoreResults
    | Complete
    | Stat
    | Phase
    | OpResult
    | SuspendEvent
    | StopAndCopy
)
#: What a helper may receive.
ParentMessage = (
    Hello
    | Start
    | Answer
    | Abort
    | DomainOp
    | AskToSuspend
    | Alive
    | LetGo
    | FailOver
    | Release
)
#: Any message.
AnyMessage = HelperMessage | ParentMessage
