"""The command line of `scripts/xen-rig`."""

import argparse
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from xen_rig.common import (
    RigError,
    cache_dir,
    find_tool,
    log,
    need_tools,
    work_dir,
)
from xen_rig.image import ensure_image
from xen_rig.machine import Peer, Run, shell
from xen_rig.payload import CHECKOUT, write_code_image
from xen_rig.suites import ALL, SUITES

RIG_FAILED = 125
DEFAULT_TIMEOUT = 1800.0

DESCRIPTION = """\
Real Xen in a plain virtual machine: QEMU's software emulation boots Xen and a
Debian dom0 with the real xl; no KVM and no nested virtualisation are needed.
"""

EPILOG = """\
`run` builds a wheel of the checkout and puts it in dom0, where `import libxlpy`,
`python3 -I -m libxlpy_helper` and `xlpy` find it; the command runs as root in a
folder that has the checkout's tests/. Ready guests are in /guest of dom0:
`xl create /guest/pv.cfg` (pvh.cfg, hvm.cfg), or, booted already,
`xl restore /guest/booted-pv` (booted-pvh, booted-hvm).

Two runs, one with `--listen` and one with `--connect`, are two hosts: each has the
other as `ssh peer` (192.0.2.1 listens, 192.0.2.2 connects), and as port rig.peer.

The suite `shadow` is trixie with a hypervisor that is built here, with shadow paging:
there a PV guest can be saved live. The sources are Debian's own package, or if it is
not served a tarball: `build shadow --source xen.tar.gz`. `build all` leaves it out.

exit status of run: the command's; 124 timed out; 125 the rig failed; 2 bad input.

examples:
  scripts/xen-rig run bookworm -- xl info
  scripts/xen-rig run trixie -- python3 -m pytest -p no:cacheprovider tests/xen
"""


class _Parser(argparse.ArgumentParser):
    """A parser that reports bad input in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with status 2."""
        self.exit(2, f"xen-rig: {message} (see scripts/xen-rig --help)\n")


def _seconds(text: str) -> float:
    """Parse a time limit."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text}")
    return value


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser("xen-rig", description=DESCRIPTION, epilog=EPILOG)
    parser.formatter_class = raw
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build an image and cache it")
    build.add_argument("suite", nargs="?", default="all", choices=[*SUITES, "all"])
    build.add_argument("--mirror", help="Debian mirror (default: this machine's)")
    text = "shadow: Xen's sources (default: Debian's source package)"
    build.add_argument("--source", type=Path, metavar="TARBALL", help=text)
    run = commands.add_parser("run", help="run a command in dom0")
    _add_machine_options(run)
    run.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="S",
        help="give the run up after S seconds (default: %(default).0f)",
    )
    run.add_argument("--console", type=Path, help="keep the boot console in a file")
    wire = run.add_mutually_exclusive_group()
    for end in ("listen", "connect"):
        text = f"{end} at a Unix socket: a wire and a network to another run"
        wire.add_argument(f"--{end}", type=Path, metavar="SOCKET", help=text)
    run.add_argument("command", nargs="+", metavar="CMD", help="after a `--`")
    _add_machine_options(commands.add_parser("shell", help="a shell in dom0"))
    commands.add_parser("clean", help="remove the cache")
    return parser


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add what `run` and `shell` have in common."""
    parser.add_argument("suite", choices=list(SUITES))
    parser.add_argument(
        "--code",
        default="auto",
        metavar="DIR",
        help="the code under test: `auto` (this checkout), another checkout, "
        "or any folder, which is then copied as it is",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _on_signal)
    signal.signal(signal.SIGHUP, _on_signal)
    try:
        return _dispatch(options)
    except RigError as error:
        log(str(error))
    except OSError as error:
        log(f"{error.strerror}: {error.filename}" if error.filename else str(error))
    except KeyboardInterrupt:
        log("interrupted")
        return 128 + signal.SIGINT
    return RIG_FAILED


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Leave through every `finally`, so that nothing stays behind."""
    del frame
    sys.exit(128 + number)


def _dispatch(options: argparse.Namespace) -> int:
    """Do what was asked."""
    if options.action == "clean":
        shutil.rmtree(cache_dir(), ignore_errors=True)
        return 0
    need_tools()
    if options.action == "build":
        if options.source and (why := _no_source(options)):
            log(why)
            return 2
        if options.suite == "all":
            return _build_all(options.mirror)
        suite = SUITES[options.suite]
        print(ensure_image(suite, options.mirror, options.source))
        return 0
    return _boot(options)


def _no_source(options: argparse.Namespace) -> str:
    """Say why the sources that were given can't be used; "" if they can."""
    if options.suite != "shadow":
        return "--source is for the suite shadow: the others have Debian's own Xen"
    if not options.source.is_file():
        return f"no such file: {options.source}"
    return ""


def _build_all(mirror: str | None) -> int:
    """Build the images side by side; once one has failed, or we end, all end."""
    builders = [
        subprocess.Popen(
            [
                *(find_tool("setpriv") or "setpriv", "--pdeathsig=TERM"),
                *(sys.executable, sys.argv[0], "build", name),
                *(["--mirror", mirror] if mirror else []),
            ]
        )
        for name in ALL
    ]
    return RIG_FAILED if any(builder.wait() for builder in builders) else 0


def _boot(options: argparse.Namespace) -> int:
    """Boot dom0 for a command or a shell."""
    automatic = options.code == "auto"
    code = CHECKOUT if automatic else Path(options.code).resolve()
    if not code.is_dir():
        log(f"not a folder: {options.code}")
        return 2
    image = ensure_image(SUITES[options.suite])
    interactive = options.action == "shell"
    command = None if interactive else shlex.join(options.command)
    with work_dir() as work:
        disk = work / "code.ext4"
        write_code_image(code, disk, command, checkout=automatic)
        if interactive:
            return shell(image, disk, work)
        console = options.console or work / "console.log"
        socket = options.listen or options.connect
        peer = Peer(socket, listens=bool(options.listen)) if socket else None
        return Run(image, disk, work, console, options.timeout, peer).run()
