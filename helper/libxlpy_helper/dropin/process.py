"""The life of the drop-in helper, in order of execution."""

from __future__ import annotations

import errno
import os

from libxlpy_helper.dropin.control import LibxlControl
from libxlpy_helper.dropin.options import parse_argv
from libxlpy_helper.dropin.wire import LibxlChannel, LibxlWire
from libxlpy_helper.harden import HardenError, claim
from libxlpy_helper.operation import Operation, check_result, run
from libxlpy_helper.options import Options
from libxlpy_helper.parts import Parts
from libxlpy_helper.startup import EarlyLog, run_program
from libxlpy_helper.xen import xenguest
from libxlpy_helper.xen.library import open_library
from libxlpy_protocol.enums import Mode, StreamType
from libxlpy_protocol.fields import NAME_MAX, clip
from libxlpy_protocol.messages import Complete, Progress, Start
from libxlpy_protocol.xen import XTL_DEBUG, XTL_WARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NoReturn

    from libxlpy_helper.callbacks import ParentCallbacks

PROGRAM: Final = LibxlControl.program
NO_DEATH_SIGNAL: Final = 0
NO_FD: Final = -1

#: Where libxl has xenstored and the domain's qemu listen, for the repair without it.
XENSTORE_SOCKETS: Final = ("/run/xenstored/socket", "/var/run/xenstored/socket")
QMP_SOCKET: Final = "/run/xen/qmp-libxl-{}"


def serve(
    argv: Sequence[str],
    backend: Options,
    source: int = NO_FD,
    acks: int = NO_FD,
    *,
    claim_pages: int = 0,
) -> NoReturn:
    """Do the one job that ``argv`` (without the program's name) names; never returns.

    Args:
        argv: As libxl's ``run_helper()`` makes it.
        backend: Which library to use; its ``parent`` is libxl's process.
        source: The stream of a restore, if what libxl reads is only a file that gets
            its own records: all of them, or the restore fails. libxl itself would take
            the end of a stream for END.
        acks: Where it is told of each epoch of such a stream that it is held; for a
            stream with checkpoints.
        claim_pages: Set aside for the domain of a restore.
    """

    def run_it() -> NoReturn:
        start = parse_argv(argv).replace(claim_pages=claim_pages)
        LibxlHelper(start, backend, source, acks).run()

    run_program(PROGRAM, run_it)


class LibxlHelper:
    """The parts of one drop-in helper process, and its main thread."""

    def __init__(self, start: Start, backend: Options, source: int, acks: int) -> None:
        self._records_fd = NO_FD if source == NO_FD else start.stream_fd
        self._acks_fd = acks
        claimed = claim(ours=[self._records_fd, acks], shares_stderr=True)
        self._parts = parts = Parts(claimed, channel=LibxlChannel)
        if source != NO_FD:
            start = start.replace(stream_fd=source)
        signal_fd = xenguest.take_signals()
        parent_fd = _harden(backend.parent)
        early = EarlyLog()
        library = open_library(backend)
        self._operation = Operation.of(parts, start, early.open_handle(library))
        self._control = LibxlControl(
            LibxlWire(parts.pipes, parts.outbox, start),
            parts,
            signal_fd,
            early.open_handle(library),
            start=_with_repair_paths(start),
            parent_fd=parent_fd,
        )
        parts.take_log(early, self._progress)

    def run(self) -> NoReturn:
        """Start the control thread, do the operation, wait for the end."""
        self._control.run_beside(self._work)

    def _work(self) -> Complete:
        restoring = self._operation.start.mode is Mode.RESTORE
        self._log(XTL_DEBUG, f"starting {'restore' if restoring else 'save'}")
        steps = self._restore if restoring else _save
        outcome = _judge(run(self._operation, steps))
        if dropped := self._parts.outbox.dropped:
            self._log(XTL_WARN, f"{dropped} log lines were left out")
        self._log(XTL_DEBUG, f"complete r={outcome.retval}")
        return outcome

    def _restore(self, operation: Operation) -> None:
        from libxlpy_helper.dropin.records import check_file, check_pipe, hand_on
        from libxlpy_helper.memory import claimed
        from libxlpy_helper.restore import check_restore, restore_libxc

        check_restore(operation)
        operation.abort.check()
        ours = self._records_fd != NO_FD
        # One with checkpoints is restored as at the last of them.
        is_plain = operation.start.stream_type is StreamType.PLAIN
        looks = not ours and is_plain
        if looks:
            check_file(operation.stream)
        with claimed(operation):
            callbacks, result, results = restore_libxc(operation, self._epochs())
        operation.outbox.put(results)  # libxl waits for them also when it failed
        check_result(callbacks, result)
        if looks:
            check_pipe(operation.stream)
        if ours and is_plain:
            hand_on(operation.stream, self._records_fd)

    def _epochs(self) -> ParentCallbacks | None:
        """Give what reads what libxl does not, if the stream is ours; None else."""
        if self._acks_fd == NO_FD:
            return None
        from libxlpy_helper.dropin.epochs import HandedEpochs

        return HandedEpochs(self._operation, self._records_fd, self._acks_fd)

    def _progress(self, context: str, doing_what: str, done: int, total: int) -> None:
        context, what = clip(context, NAME_MAX), clip(doing_what, NAME_MAX)
        self._parts.outbox.put(Progress(context, what, done, total))

    def _log(self, level: int, text: str) -> None:
        self._parts.log(level, -1, PROGRAM, text)


# --------------------------------------------------------------------------------------
# The operations
# --------------------------------------------------------------------------------------


def _save(operation: Operation) -> None:
    from libxlpy_helper.save import check_save, save_libxc

    check_save(operation)
    operation.abort.check()
    save_libxc(operation)


def _judge(outcome: Complete) -> Complete:
    """Make an aborted operation a failed one: libxl's wire has no word for it.

    With some releases of libxc an interrupted save returns success all the same.
    """
    if not outcome.aborted:
        return outcome
    return Complete(-1, errno.ECANCELED, aborted=True)


# --------------------------------------------------------------------------------------
# Start-up
# --------------------------------------------------------------------------------------


def _harden(parent: int) -> int:
    """Gain no privileges, leave no core; return the parent's pidfd.

    The kernel's death signal is not used: it fires when the *thread* ends that started
    us, and a daemon's worker thread may end while its libxl goes on.

    Raises:
        HardenError: The parent is gone already, or the kernel refused.
    """
    try:
        xenguest.no_core()
        xenguest.harden(NO_DEATH_SIGNAL)
        parent_fd = os.pidfd_open(parent)
    except OSError as exc:
        raise HardenError(f"process {parent}: {exc.strerror}") from exc
    if os.getppid() != parent:
        raise HardenError(f"process {parent} is not the parent")
    return parent_fd


def _with_repair_paths(start: Start) -> Start:
    qmp_path = QMP_SOCKET.format(start.domid)
    return start.replace(
        xenstore_path=_first(XENSTORE_SOCKETS, default=XENSTORE_SOCKETS[0]),
        qmp_path=_first([qmp_path], default=""),  # PV and PVH have no qemu
    )


def _first(paths: Sequence[str], *, default: str) -> str:
    return next((path for path in paths if os.path.exists(path)), default)
