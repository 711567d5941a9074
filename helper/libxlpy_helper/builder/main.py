"""The build helper: restores a domain with libxenlight, in a process of its own.

``libxlpy_helper.builder.main --parent PID --config-fd N [--paused] [--monitor]``. To
its parent it is a helper in mode RESTORE as any other: hello, start (with ``stream_fd``
where libxl's own records begin), log, stat, domain ops, abort, complete. libxenlight
makes the domain and its devices, and has libxlpy-save-helper read the stream. Which
domid it got shows in the list of domains, by its uuid; should this process die
half-way, ``--destroy DOMID --uuid UUID`` has another one remove what is left.
"""

import errno
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NoReturn

from libxlpy_helper.builder import monitor
from libxlpy_helper.builder.abort import BuildAbort
from libxlpy_helper.builder.interfaces import Interfaces
from libxlpy_helper.builder.launcher import save_helper_path
from libxlpy_helper.builder.options import BuildOptions, parse_build_options
from libxlpy_helper.builder.stages import BuildStages
from libxlpy_helper.control import Control
from libxlpy_helper.domain_ops import find, is_another
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.harden import claim, harden
from libxlpy_helper.operation import Operation, StepError, run
from libxlpy_helper.options import Options, OptionsError
from libxlpy_helper.parent_wire import Wire
from libxlpy_helper.parts import Parts, hello
from libxlpy_helper.startup import EarlyLog, NoHypervisorError, end, run_program
from libxlpy_helper.stream import Stream, read_header
from libxlpy_helper.xen import xenguest
from libxlpy_helper.xen.library import open_library
from libxlpy_helper.xen.xenlight import Toolstack, XenlightError, parse_log
from libxlpy_protocol.enums import StreamType
from libxlpy_protocol.fields import printable
from libxlpy_protocol.messages import Complete
from libxlpy_protocol.xen import XTL_ERROR, XTL_INFO

FEATURES: Final = ("stat", "domain-ops", "build")
CONFIG_MAX: Final = 1 << 20  # bytes
LOOK_AGAIN: Final = 100  # milliseconds between two looks at an abort
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
        if time.monotonic() >= self._look_at:
            self.stages.look()
        super()._beat()


def main(argv: Sequence[str]) -> NoReturn:
    """Do what argv says and end the process."""
    run_program(CONTEXT, lambda: _run(parse_build_options(argv)))


def _run(options: BuildOptions) -> NoReturn:
    if options.destroy >= 0:
        _destroy(options.destroy, options.uuid)
    Builder(options).run()


class Builder:
    """The parts of one build process, and its main thread."""

    def __init__(self, options: BuildOptions) -> None:
        self._options = options
        claimed = claim(ours=[options.config_fd])
        self._parts = parts = Parts(claimed, abort=BuildAbort)
        signal_fd = _take_signals()
        harden(options.parent, starts_others=True)
        self._config = _read_config(options.config_fd)
        early = EarlyLog()
        library = open_library(Options(options.parent, "xen", host="", library=""))
        self._toolstack = self._open_toolstack(library.version)
        self._handle = early.open_handle(library)
        greeting = hello(self._toolstack.name, library.version, FEATURES)
        self._control = BuildControl(
            Wire(parts.pipes, parts.outbox, greeting),
            parts,
            signal_fd,
            early.open_handle(library),
            options.parent,
        )
        parts.take_log(early, lambda *_: None)

    def run(self) -> NoReturn:
        """Start the control thread, build the domain, wait for the end."""
        self._control.run_beside(self._work)

    def _work(self) -> Complete:
        start = self._control.wait_start()
        operation = Operation.of(self._parts, start, self._handle)
        return run(operation, self._build)

    def _build(self, operation: Operation) -> None:
        operation.phase("header")
        libxl_fd = _for_libxl(operation)
        start = operation.start
        acks = [] if start.stream_type is StreamType.PLAIN else [start.recv_fd]
        pages = start.claim_pages
        helper = save_helper_path(start.stream_fd, *acks, claim_pages=pages)
        os.environ["LIBXL_SAVE_HELPER"] = helper
        operation.phase("build")
        try:
            with self._control.stages:
                domid = self._create(operation, libxl_fd)
            self._parts.log(XTL_INFO, -1, CONTEXT, f"domain {domid} is built")
            self._hand_over(operation, domid)
        except XenlightError as exc:
            self._parts.log(XTL_ERROR, -1, CONTEXT, str(exc))
            raise StepError(xenguest.Result(exc.rc, errno.EIO)) from exc

    def _create(self, operation: Operation, libxl_fd: int) -> int:
        """Have the domain made, whole; of one that can't be nothing is left."""
        stop = operation.abort.kick
        interfaces = Interfaces(self._toolstack, self._config, stop)
        interfaces.begin()
        try:
            stream_type = operation.start.stream_type
            domid = self._toolstack.create(interfaces.config, libxl_fd, stream_type)
        except XenlightError as exc:
            interfaces.undo()
            raise interfaces.failure or exc from None
        try:
            interfaces.finish(domid)
        except XenlightError:
            self._toolstack.destroy(domid)
            raise
        return domid

    def _hand_over(self, operation: Operation, domid: int) -> None:
        """Start the domain and who looks after it, unless it isn't wanted any more."""
        if operation.abort.requested:
            self._toolstack.destroy(domid)
        operation.phase("start")
        if self._options.monitor:
            monitor.start(domid, self._config, operation.start.xenstore_path)
        if not self._options.paused:
            self._toolstack.launch(domid)

    def _open_toolstack(self, version: str) -> Toolstack:
        read_fd, write_fd = os.pipe()
        try:
            toolstack = Toolstack(version, write_fd)
        except XenlightError as exc:
            raise NoHypervisorError(str(exc)) from exc
        reader = threading.Thread(target=self._pass_on, args=[read_fd], daemon=True)
        reader.start()
        return toolstack

    def _pass_on(self, read_fd: int) -> None:
        """Put what libxenlight and its children log among what is sent."""
        while data := os.read(read_fd, 65536):
            for line in parse_log(data):
                self._parts.log(*line)


def _for_libxl(operation: Operation) -> int:
    """Return a file that has libxl's part of the stream: the header, as it is here.

    libxl takes the end of a stream for END. So it does not get the stream itself: its
    save helper reads that, and puts the rest of libxl's part here, once it has all.

    Raises:
        OSError: EPROTO: the stream begins otherwise.
        AbortedError: The operation was aborted.
    """
    poll = select.poll()
    poll.register(operation.start.stream_fd, select.POLLIN)

    def readable() -> None:  # no signal ends a read of this process
        while not poll.poll(LOOK_AGAIN):
            operation.abort.check()

    header = read_header(Stream(operation.start.stream_fd, readable))
    fd = os.memfd_create("libxlpy-stream")
    os.pwrite(fd, header, 0)
    return fd


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
        end(ExitStatus.ANOTHER_DOMAIN, CONTEXT, f"domain {domid} is another domain now")
    read_fd, write_fd = os.pipe()
    try:
        Toolstack(library.version, write_fd).destroy(domid)
    except XenlightError as exc:
        os.set_blocking(read_fd, False)
        for line in parse_log(os.read(read_fd, 65536)):
            sys.stderr.write(f"{printable(line.text)}\n")
        end(ExitStatus.BUG, CONTEXT, str(exc))
    sys.exit(ExitStatus.OK)


if __name__ == "__main__":
    main(sys.argv[1:])
