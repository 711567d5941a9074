"""The life of the drop-in helper, in order of execution."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from libxlpy_helper.abort import KICK, Abort
from libxlpy_helper.dropin.control import LibxlControl
from libxlpy_helper.dropin.options import parse_argv
from libxlpy_helper.dropin.wire import LibxlChannel, LibxlWire
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.harden import HardenError, claim_control_pipes, inherited_fds
from libxlpy_helper.operation import Operation, check_result, run
from libxlpy_helper.options import Options, OptionsError
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.restore import check_restore, restore_libxc
from libxlpy_helper.save import check_save, save_libxc
from libxlpy_helper.stats import Stats
from libxlpy_helper.waker import Waker
from libxlpy_helper.xen import xenguest
from libxlpy_helper.xen.library import open_library
from libxlpy_protocol.enums import Mode
from libxlpy_protocol.fields import NAME_MAX, clip
from libxlpy_protocol.messages import Complete, Log, Progress, Start

PROGRAM: Final = "libxlpy-save-helper"
LEVEL_DEBUG: Final = 1  # xentoollog's XTL_DEBUG
LEVEL_WARN: Final = 7  # xentoollog's XTL_WARN
NO_DEATH_SIGNAL: Final = 0

#: Where libxl has xenstored and the domain's qemu listen, for the repair without it.
XENSTORE_SOCKETS: Final = ("/run/xenstored/socket", "/var/run/xenstored/socket")
QMP_SOCKET: Final = "/run/xen/qmp-libxl-{}"


def serve(argv: Sequence[str], backend: Options) -> NoReturn:
    """Do the one job that ``argv`` (without the program's name) names; never returns.

    Args:
        argv: As libxl's ``run_helper()`` makes it.
        backend: Which library to use; its ``parent`` is libxl's process.
    """
    try:
        start = parse_argv(argv)
        LibxlHelper(start, backend).run()
    except (OptionsError, HardenError) as exc:
        _end(ExitStatus.USAGE, str(exc))
    except xenguest.LoadError as exc:
        _end(ExitStatus.NO_LIBRARY, str(exc))
    except Exception as exc:  # the other thread would keep the process alive
        sys.excepthook(type(exc), exc, exc.__traceback__)
        _end(ExitStatus.BUG, "internal error")


class LibxlHelper:
    """The parts of one drop-in helper process, and its main thread."""

    def __init__(self, start: Start, backend: Options) -> None:
        pipes = claim_control_pipes(shares_stderr=True)
        inherited = inherited_fds((pipes.read_fd, pipes.write_fd))
        signal_fd = xenguest.take_signals(KICK)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a dead receiver is EPIPE
        parent_fd = _harden(backend.parent)
        waker = Waker()
        self._outbox = Outbox(waker.wake)
        channel = LibxlChannel(self._outbox)
        abort = Abort(threading.get_ident())
        library = self._open_library(backend)
        self._operation = Operation(
            start=start,
            handle=_open_handle(library),
            outbox=self._outbox,
            channel=channel,
            stats=Stats(),
            abort=abort,
            inherited=inherited,
        )
        self._control = LibxlControl(
            LibxlWire(pipes, self._outbox, start),
            waker,
            _with_repair_paths(start),
            signal_fd=signal_fd,
            parent_fd=parent_fd,
            handle=_open_handle(library),
            outbox=self._outbox,
            channel=channel,
            abort=abort,
        )

    def run(self) -> NoReturn:
        """Start the control thread, do the operation, wait for the end."""
        thread = threading.Thread(target=self._control.run, name="control")
        thread.start()
        restoring = self._operation.start.mode is Mode.RESTORE
        self._debug(f"starting {'restore' if restoring else 'save'}")
        outcome = _judge(run(self._operation, _restore if restoring else _save))
        if self._outbox.dropped:
            self._log(LEVEL_WARN, f"{self._outbox.dropped} log lines were left out")
        self._debug(f"complete r={outcome.retval}")
        self._control.complete(outcome)
        thread.join()
        raise AssertionError("the control thread ends the process")

    def _open_library(self, backend: Options) -> xenguest.Library:
        outbox = self._outbox

        def log(level: int, errnoval: int, context: str, text: str) -> None:
            level = min(max(level, 0), 255)
            outbox.put(Log(level, errnoval, clip(context, NAME_MAX), clip(text)))

        def progress(context: str, doing_what: str, done: int, total: int) -> None:
            context, what = clip(context, NAME_MAX), clip(doing_what, NAME_MAX)
            outbox.put(Progress(context, what, done, total))

        xenguest.set_sink(log, progress)
        return open_library(backend)

    def _debug(self, text: str) -> None:
        self._log(LEVEL_DEBUG, text)

    def _log(self, level: int, text: str) -> None:
        self._outbox.put(Log(level, -1, PROGRAM, text))


# --------------------------------------------------------------------------------------
# The two operations
# --------------------------------------------------------------------------------------


def _save(operation: Operation) -> None:
    check_save(operation)
    operation.abort.check()
    save_libxc(operation)


def _restore(operation: Operation) -> None:
    check_restore(operation)
    operation.abort.check()
    callbacks, result, results = restore_libxc(operation)
    operation.outbox.put(results)  # libxl waits for them also when it failed
    check_result(callbacks, result)


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
        xenguest.harden(NO_DEATH_SIGNAL)
        parent_fd = os.pidfd_open(parent)
    except OSError as exc:
        raise HardenError(f"process {parent}: {exc.strerror}") from exc
    if os.getppid() != parent:
        raise HardenError(f"process {parent} is not the parent")
    return parent_fd


def _open_handle(library: xenguest.Library) -> xenguest.Handle:
    try:
        return library.open()
    except OSError as exc:
        _end(ExitStatus.NO_HYPERVISOR, exc.strerror or str(exc))


def _with_repair_paths(start: Start) -> Start:
    qmp_path = QMP_SOCKET.format(start.domid)
    return start.replace(
        xenstore_path=_first(XENSTORE_SOCKETS, default=XENSTORE_SOCKETS[0]),
        qmp_path=_first([qmp_path], default=""),  # PV and PVH have no qemu
    )


def _first(paths: Sequence[str], *, default: str) -> str:
    return next((path for path in paths if Path(path).exists()), default)


def _end(status: ExitStatus, text: str) -> NoReturn:
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    sys.stderr.flush()
    os._exit(status)
