"""The life of the helper process, in order of execution."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

from libxlpy_helper.abort import KICK, Abort
from libxlpy_helper.channel import Channel
from libxlpy_helper.control import Control
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.harden import (
    ControlPipes,
    HardenError,
    claim_control_pipes,
    harden,
    inherited_fds,
)
from libxlpy_helper.options import Options, OptionsError, parse_options
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.progress import ProgressReport
from libxlpy_helper.stats import Stats
from libxlpy_helper.waker import Waker
from libxlpy_helper.wire import Wire
from libxlpy_helper.xen import xenguest
from libxlpy_helper.xen.library import open_library
from libxlpy_protocol.enums import Mode
from libxlpy_protocol.fields import NAME_MAX, clip
from libxlpy_protocol.hello import MIN_VERSION, VERSION
from libxlpy_protocol.messages import Hello, Log, Start

PACKAGE_VERSION: Final = "0.1.0"
FEATURES: Final = ("stat", "domain-ops", "libxl-stream", "suspend-event")


def main(argv: Sequence[str]) -> NoReturn:
    """Start up, do the one job, end; never returns."""
    try:
        options = parse_options(argv)
        pipes = claim_control_pipes()
        faulthandler.enable()  # a crash inside libxc: where Python was, on stderr
        inherited = inherited_fds((pipes.read_fd, pipes.write_fd))
        Helper(options, pipes, inherited).run()
    except (OptionsError, HardenError) as exc:
        _end(ExitStatus.USAGE, str(exc))
    except xenguest.LoadError as exc:
        _end(ExitStatus.NO_LIBRARY, str(exc))
    except Exception as exc:  # the other thread would keep the process alive
        sys.excepthook(type(exc), exc, exc.__traceback__)
        _end(ExitStatus.BUG, "internal error")


class Helper:
    """The parts of one helper process, and its main thread."""

    def __init__(
        self, options: Options, pipes: ControlPipes, inherited: frozenset[int]
    ) -> None:
        self._inherited = inherited
        self._stats = Stats()
        signal_fd = xenguest.take_signals(KICK)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a dead receiver is EPIPE
        harden(options.parent)
        waker = Waker()
        self._outbox = Outbox(waker.wake)
        self._channel = Channel(self._outbox)
        self._abort = Abort(threading.get_ident())
        library = self._open_library(options)
        self._handle = self._open_handle(library)
        self._control = Control(
            Wire(pipes, self._outbox, _hello(library)),
            waker,
            signal_fd,
            parent=options.parent,
            handle=self._open_handle(library),
            outbox=self._outbox,
            channel=self._channel,
            stats=self._stats,
            abort=self._abort,
        )

    def run(self) -> NoReturn:
        """Start the control thread, do the operation it is told, wait for the end."""
        thread = threading.Thread(target=self._control.run, name="control")
        thread.start()
        start: Start = self._control.wait_start()
        # Only now: many a helper does nothing but hypercalls. And all of it, before
        # the guest is touched: a repair must not depend on files.
        operation = import_module("libxlpy_helper.operation")
        import_module("libxlpy_helper.repair")
        steps = {
            Mode.SAVE: import_module("libxlpy_helper.save").save,
            Mode.REMUS: import_module("libxlpy_helper.save").save,
            Mode.RESTORE: import_module("libxlpy_helper.restore").restore,
        }
        job = operation.Operation(
            start=start,
            handle=self._handle,
            outbox=self._outbox,
            channel=self._channel,
            stats=self._stats,
            abort=self._abort,
            inherited=self._inherited,
        )
        self._control.complete(operation.run(job, steps[start.mode]))
        thread.join()
        raise AssertionError("the control thread ends the process")

    def _open_library(self, options: Options) -> xenguest.Library:
        outbox, stats = self._outbox, self._stats
        report = ProgressReport(outbox)

        def log(level: int, errnoval: int, context: str, text: str) -> None:
            level = min(max(level, 0), 255)
            outbox.put(Log(level, errnoval, clip(context, NAME_MAX), clip(text)))

        def progress(context: str, doing_what: str, done: int, total: int) -> None:
            stats.progress(doing_what, done, total)
            report.tell(context, doing_what, done, total)

        xenguest.set_sink(log, progress)
        return open_library(options)

    def _open_handle(self, library: xenguest.Library) -> xenguest.Handle:
        try:
            return library.open()
        except OSError as exc:
            reasons = [exc.strerror or str(exc)]
            while (entry := self._outbox.take()) is not None:
                if isinstance(entry.message, Log) and entry.message.text:
                    reasons.append(f"({entry.message.text})")
            _end(ExitStatus.NO_HYPERVISOR, " ".join(reasons))


def _hello(library: xenguest.Library) -> Hello:
    return Hello(
        version=VERSION,
        min_version=MIN_VERSION,
        package=PACKAGE_VERSION,
        library=library.name,
        library_version=library.version,
        features=FEATURES,
    )


def _end(status: ExitStatus, text: str) -> NoReturn:
    with contextlib.suppress(OSError):  # nobody may read it any more
        sys.stderr.write(f"libxlpy-helper: {text}\n")
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
