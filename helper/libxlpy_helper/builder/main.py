"""The build helper: restores a domain with libxenlight, in a process of its own.

``python -I -m libxlpy_helper.builder.main --parent PID --config-fd N [--paused]
[--monitor]``. To its parent it is a helper in mode RESTORE as any other: hello, start
(with ``stream_fd`` where libxl's own records begin), log, stat, domain ops, abort,
complete. libxenlight makes the domain and its devices, and has libxlpy-save-helper
read the memory. Which domid it got shows in the list of domains, by its uuid; should
this process die half-way, ``--destroy DOMID --uuid UUID`` has another one remove
what is left.
"""

import errno
import os
import signal
import sys
import threading
import time
from functools import cached_property
from typing import Final, NoReturn

from libxlpy_helper.builder import monitor
from libxlpy_helper.builder.abort import BuildAbort
from libxlpy_helper.builder.launcher import save_helper_path
from libxlpy_helper.builder.options import BuildOptions, parse_build_options
from libxlpy_helper.builder.stages import BuildStages
from libxlpy_helper.channel import Channel
from libxlpy_helper.control import Control
from libxlpy_helper.domain_ops import find, is_another
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.harden import (
    HardenError,
    claim_control_pipes,
    harden,
    inherited_fds,
)
from libxlpy_helper.operation import Operation, StepError, run
from libxlpy_helper.options import Options, OptionsError
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.stats import Stats
from libxlpy_helper.waker import Waker
from libxlpy_helper.wire import Wire
from libxlpy_helper.xen import xenguest
from libxlpy_helper.xen.library import open_library
from libxlpy_helper.xen.xenlight import Toolstack, XenlightError, parse_log
from libxlpy_protocol.fields import NAME_MAX, clip
from libxlpy_protocol.hello import MIN_VERSION, VERSION
from libxlpy_protocol.messages import Hello, Log

PACKAGE_VERSION: Final = "0.1.0"
FEATURES: Final = ("stat", "domain-ops", "build")
LEVEL_INFO: Final = 5  # xentoollog's XTL_INFO
LEVEL_ERROR: Final = 8  # xentoollog's XTL_ERROR
CONFIG_MAX: Final = 1 << 20  # bytes
CONTEXT: Final = "libxlpy-build"
ENDS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class BuildControl(Control):
    """Alone, libxenlight gets the time that its own slowest step may take.

    Xen: tools/libs/light, LIBXL_HOTPLUG_TIMEOUT and LIBXL_DESTROY_TIMEOUT.
    """

    alone_max = 120.0
    unwind_max = 100.0

    @cached_property
    def stages(self) -> BuildStages:
        """What is told of the build on the way."""
        return BuildStages(self._outbox)

    def _beat(self) -> None:
        if time.monotonic() >= self._beat_at:
            self.stages.look()
        super()._beat()


def main() -> NoReturn:
    """Do what argv says and end the process."""
    try:
        options = parse_build_options(sys.argv[1:])
        if options.destroy >= 0:
            _destroy(options.destroy, options.uuid)
        Builder(options).run()
    except (OptionsError, HardenError) as exc:
        _end(ExitStatus.USAGE, str(exc))
    except xenguest.LoadError as exc:
        _end(ExitStatus.NO_LIBRARY, str(exc))
    except XenlightError as exc:
        _end(ExitStatus.NO_HYPERVISOR, str(exc))
    except Exception as exc:  # the other thread would keep the process alive
        sys.excepthook(type(exc), exc, exc.__traceback__)
        _end(ExitStatus.BUG, "internal error")


class Builder:
    """The parts of one build process, and its main thread."""

    def __init__(self, options: BuildOptions) -> None:
        self._options = options
        pipes = claim_control_pipes()
        inherited = inherited_fds((pipes.read_fd, pipes.write_fd, options.config_fd))
        signal_fd = _take_signals()
        harden(options.parent)
        self._config = _read_config(options.config_fd)
        waker = Waker()
        self._outbox = Outbox(waker.wake)
        channel, stats = Channel(self._outbox), Stats()
        abort = BuildAbort(threading.get_ident())
        xenguest.set_sink(self._log, lambda *_: None)
        library = open_library(Options(options.parent, "xen", host="", library=""))
        self._version = library.version
        self._toolstack = self._open_toolstack()
        self._operation = (library, channel, stats, abort, inherited)
        self._control = BuildControl(
            Wire(pipes, self._outbox, self._hello()),
            waker,
            signal_fd,
            parent=options.parent,
            handle=library.open(),
            outbox=self._outbox,
            channel=channel,
            stats=stats,
            abort=abort,
        )

    def run(self) -> NoReturn:
        """Start the control thread, build the domain, wait for the end."""
        thread = threading.Thread(target=self._control.run, name="control")
        thread.start()
        start = self._control.wait_start()
        library, channel, stats, abort, inherited = self._operation
        operation = Operation(
            start=start,
            handle=library.open(),
            outbox=self._outbox,
            channel=channel,
            stats=stats,
            abort=abort,
            inherited=inherited,
        )
        self._control.complete(run(operation, self._build))
        thread.join()
        raise AssertionError("the control thread ends the process")

    def _build(self, operation: Operation) -> None:
        operation.phase("build")
        try:
            with self._control.stages:
                stream_fd = operation.start.stream_fd
                domid = self._toolstack.create(self._config, stream_fd)
            self._log(LEVEL_INFO, -1, CONTEXT, f"domain {domid} is built")
            self._hand_over(operation, domid)
        except XenlightError as exc:
            self._log(LEVEL_ERROR, -1, CONTEXT, str(exc))
            raise StepError(xenguest.Result(exc.rc, errno.EIO)) from exc

    def _hand_over(self, operation: Operation, domid: int) -> None:
        """Start the domain and who looks after it, unless it isn't wanted any more."""
        if operation.abort.requested:
            self._toolstack.destroy(domid)
        operation.phase("start")
        if self._options.monitor:
            monitor.start(domid, self._config)
        if not self._options.paused:
            self._toolstack.launch(domid)

    def _open_toolstack(self) -> Toolstack:
        os.environ["LIBXL_SAVE_HELPER"] = save_helper_path()
        read_fd, write_fd = os.pipe()
        toolstack = Toolstack(self._version, write_fd)
        reader = threading.Thread(target=self._pass_on, args=[read_fd], daemon=True)
        reader.start()
        return toolstack

    def _pass_on(self, read_fd: int) -> None:
        """Put what libxenlight and its children log among what is sent."""
        while data := os.read(read_fd, 65536):
            for line in parse_log(data):
                self._log(*line)

    def _log(self, level: int, errnoval: int, context: str, text: str) -> None:
        level = min(max(level, 0), 255)
        self._outbox.put(Log(level, errnoval, clip(context, NAME_MAX), clip(text)))

    def _hello(self) -> Hello:
        return Hello(
            version=VERSION,
            min_version=MIN_VERSION,
            package=PACKAGE_VERSION,
            library=self._toolstack.name,
            library_version=self._version,
            features=FEATURES,
        )


def _take_signals() -> int:
    """Make the signals that end us readable.

    None is blocked: qemu and the scripts that libxenlight starts would inherit that.
    """
    read_fd, write_fd = os.pipe()
    for fd in (read_fd, write_fd):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(write_fd)
    for number in ENDS:
        signal.signal(number, lambda *_: None)
    return read_fd


def _read_config(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        config = file.read(CONFIG_MAX + 1)
    if not config or len(config) > CONFIG_MAX or b"\0" in config.rstrip(b"\0"):
        raise OptionsError(f"--config-fd {fd}: no JSON of at most {CONFIG_MAX} bytes")
    return config.rstrip(b"\0")


def _destroy(domid: int, uuid: bytes) -> NoReturn:
    library = open_library(Options(os.getppid(), "xen", host="", library=""))
    if is_another(find(library.open(), domid), uuid):
        _end(ExitStatus.ANOTHER_DOMAIN, f"domain {domid} is another domain now")
    read_fd, write_fd = os.pipe()
    try:
        Toolstack(library.version, write_fd).destroy(domid)
    except XenlightError as exc:
        os.set_blocking(read_fd, False)
        for line in parse_log(os.read(read_fd, 65536)):
            sys.stderr.write(f"{line.text}\n")
        _end(ExitStatus.BUG, str(exc))
    sys.exit(ExitStatus.OK)


def _end(status: ExitStatus, text: str) -> NoReturn:
    sys.stderr.write(f"{CONTEXT}: {text}\n")
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
