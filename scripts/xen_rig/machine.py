"""Run a virtual machine with Xen in it, and take its output and status."""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from xen_rig.awake import Waker
from xen_rig.common import RigError, find_tool

TIMED_OUT = 124
# dom0 is up in 15 s on an idle machine of 2 cores; a busy one took 90.
BOOT_TIMEOUT = 600.0
CONSOLE_LINES = 12
CODE_DISK = "code"
LOOK_INTERVAL = 5.0  # seconds between two looks at whether the machine lives

# Scrubbing all free memory only costs time here.
XEN_OPTIONS = (
    "console=com1 com1=115200 loglvl=warning guest_loglvl=all "
    "dom0_mem=1536M,max:1536M bootscrub=0"
)
# Xen's spec-ctrl=no and Linux's mitigations=off are no gain: with them the dom0
# kernel of trixie was seen to crash at boot.
# With "panic" and without Xen's "noreboot", a crash ends QEMU at once.
DOM0_OPTIONS = "console=hvc0 panic=1"


def qemu_command(image: Path, code: Path, *, keep_disk: bool = False) -> list[str]:
    """Return QEMU's arguments, but for the console and the ports.

    With `keep_disk` what dom0 writes stays in the image.

    `-cpu max` makes dom0's kernel crash; +svm,+npt is what PVH and HVM need.
    Without +rdrand dom0 has no entropy for a minute, and Python waits for it.
    One processor: with two, a guest's triple fault failed one run in three.
    `setpriv` makes QEMU end with us, even if we are killed.
    """
    drive = "if=virtio,format=raw,cache=unsafe"
    snapshot = "off" if keep_disk else "on"
    modules = f"{image / 'vmlinux'} {DOM0_OPTIONS},{image / 'dom0.ird'}"
    return [
        find_tool("setpriv") or "setpriv",
        "--pdeathsig=KILL",
        find_tool("qemu-system-x86_64") or "qemu-system-x86_64",
        *("-machine", "q35,accel=tcg", "-cpu", "qemu64,+svm,+npt,+rdrand"),
        *("-m", "3072", "-smp", "1", "-no-reboot", "-nic", "none"),
        *("-display", "none", "-vga", "none", "-nodefaults"),
        *("-kernel", str(image / "xen"), "-append", XEN_OPTIONS),
        *("-initrd", modules),
        *("-drive", f"{drive},snapshot={snapshot},file={image / 'root.ext4'}"),
        *("-drive", f"{drive},snapshot=on,id={CODE_DISK},file={code}"),
    ]


def port(name: str, number: int, fd: int) -> list[str]:
    """Return the arguments for a port of dom0 that writes to our descriptor.

    It is a pipe: without `append`, QEMU would try to truncate it, and fail.
    """
    return [
        *("-add-fd", f"fd={fd},set={number}"),
        *("-chardev", f"file,id={name},path=/dev/fdset/{number},append=on"),
        *("-device", f"virtserialport,chardev={name},name=rig.{name}"),
    ]


@dataclass(frozen=True)
class Peer:
    """What leads to another virtual machine: dom0's port `rig.peer`, and a network.

    Attributes:
        socket: The Unix socket that is the port's wire; the network's is beside it.
        listens: Whether we make them; the other one waits until they are there.
    """

    socket: Path
    listens: bool

    @property
    def network(self) -> Path:
        """The Unix socket that is the network's wire."""
        return self.socket.with_name(f"{self.socket.name}.net")

    def arguments(self) -> list[str]:
        """Return QEMU's arguments for our end.

        By the last digit of its network card dom0 knows which of the two it is.
        """
        end = ",server=on,wait=off" if self.listens else ""
        server, number = ("on", 1) if self.listens else ("off", 2)
        wire = f"stream,id=wire,server={server},addr.type=unix"
        mac = f"52:54:00:00:00:0{number}"
        return [
            *("-chardev", f"socket,id=peer,path={self.socket}{end}"),
            *("-device", "virtserialport,chardev=peer,name=rig.peer"),
            *("-netdev", f"{wire},addr.path={self.network}"),
            *("-device", f"virtio-net-pci,netdev=wire,mac={mac},romfile="),
        ]

    def wait(self) -> None:
        """Wait until the other one listens.

        Raises:
            RigError: It does not.
        """
        deadline = time.monotonic() + BOOT_TIMEOUT
        sockets = (self.socket, self.network)
        while not self.listens and not all(each.exists() for each in sockets):
            if time.monotonic() > deadline:
                raise RigError(f"no other machine listens at {self.socket}")
            time.sleep(0.1)


def shell(image: Path, code: Path, work: Path) -> int:
    """Give an interactive shell in dom0 on this terminal."""
    command = [*qemu_command(image, code), "-serial", "mon:stdio"]
    with subprocess.Popen(command, env=_environment(work)) as qemu:
        try:
            return qemu.wait()
        finally:
            _stop(qemu)


@dataclass
class Run:
    """One run of a command in dom0.

    Attributes:
        image: The folder of the suite's image.
        code: The code disk.
        work: Our temporary folder; QEMU's own temporary files go there too.
        console: The file that gets all boot and hypervisor messages.
        timeout: Seconds until the run is given up.
        peer: What leads to another machine, if there is one.
        sink: Where the command's output goes.
        keep_disk: Whether what dom0 writes stays in the image.
    """

    image: Path
    code: Path
    work: Path
    console: Path
    timeout: float
    peer: Peer | None = None
    sink: BinaryIO = field(default_factory=lambda: sys.stdout.buffer)
    keep_disk: bool = False
    _booted: bool = False
    _notes: bytes = b""

    def run(self) -> int:
        """Boot, pass the command's output on as it comes, return its status.

        Raises:
            RigError: dom0 did not come up, or ended before the command did.
        """
        if self.peer:
            self.peer.wait()
        output, output_end = os.pipe()
        status, status_end = os.pipe()
        ends = [output_end, status_end]
        size = self.code.stat().st_size
        waker = Waker(self.work / "qmp", CODE_DISK, size)
        try:
            qemu = self._start(output_end, status_end, waker)
        finally:
            for end in ends:
                os.close(end)
        try:
            return self._follow(output, status, lambda: waker.look(qemu.pid))
        finally:
            _stop(qemu)
            os.close(output)
            os.close(status)

    def _start(self, output: int, status: int, waker: Waker) -> subprocess.Popen[bytes]:
        """Start QEMU, in a session of its own: a Ctrl-C is ours to handle."""
        command = [
            *qemu_command(self.image, self.code, keep_disk=self.keep_disk),
            *("-serial", f"file:{self.console}", "-device", "virtio-serial-pci"),
            *port("output", 1, output),
            *port("status", 2, status),
            *(self.peer.arguments() if self.peer else ()),
            *waker.arguments,
        ]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(output, status),
            env=_environment(self.work),
            start_new_session=True,
        )

    def _follow(self, output: int, status: int, look: Callable[[], None]) -> int:
        """Wait for what comes first: the status, the end of QEMU, the time."""
        started = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(status, selectors.EVENT_READ)
            while True:
                limit = self.timeout
                if not self._booted:
                    limit = min(limit, BOOT_TIMEOUT)
                left = started + limit - time.monotonic()
                if left <= 0:
                    return self._timed_out(limit)
                ready = {key.fd for key, _ in selector.select(min(left, LOOK_INTERVAL))}
                look()
                if output in ready:
                    self._pass_on(output)
                if status in ready:
                    result = self._read_status(status)
                    if result is not None:
                        self._drain(output, selector)
                        return result

    def _pass_on(self, output: int) -> bool:
        """Pass on one piece of output; false at its end."""
        data = os.read(output, 65536)
        self.sink.write(data)
        self.sink.flush()
        return bool(data)

    def _drain(self, output: int, selector: selectors.BaseSelector) -> None:
        """Pass on what is left: dom0 wrote it all before its status."""
        while any(key.fd == output for key, _ in selector.select(0)):
            if not self._pass_on(output):
                return

    def _read_status(self, status: int) -> int | None:
        """Take dom0's notes: `ready`, `fail TEXT`, `exit STATUS`."""
        data = os.read(status, 4096)
        if not data:
            raise self._failure("dom0 ended before the command did")
        self._notes += data
        *lines, self._notes = self._notes.split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == "ready":
                self._booted = True
            elif word == "fail":
                raise self._failure(rest)
            elif word == "exit":
                return int(rest)
        return None

    def _timed_out(self, limit: float) -> int:
        """Say what did not end in time; the caller stops QEMU."""
        what = "the command did not end" if self._booted else "dom0 did not boot"
        self._show_console()
        print(f"xen-rig: {what} within {limit:.0f} s: stopped", file=sys.stderr)
        return TIMED_OUT

    def _failure(self, text: str) -> RigError:
        """Show the console's end and return the error to raise."""
        self._show_console()
        return RigError(text)

    def _show_console(self) -> None:
        """Show the end of the boot console, for a run that went wrong."""
        try:
            lines = self.console.read_text(errors="replace").splitlines()
        except OSError:
            return
        for line in lines[-CONSOLE_LINES:]:
            print(f"console| {line.rstrip()}", file=sys.stderr)


def _environment(work: Path) -> dict[str, str]:
    """Return the environment with QEMU's temporary files (snapshots) in ours."""
    return {**os.environ, "TMPDIR": str(work)}


def _stop(qemu: subprocess.Popen[bytes]) -> None:
    """End QEMU if it still runs. Its disks are snapshots, or dom0 has synced."""
    if qemu.poll() is None:
        qemu.kill()
    qemu.wait()
