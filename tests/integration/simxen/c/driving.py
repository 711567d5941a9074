"""Drives the C library's test program, and the host its domains are on."""

import dataclasses
import json
import os
import socket
import struct
import subprocess
import time

from libxlpy.simxen.client import request

PATIENCE = 50.0  # a bound for whatever must end, not a measure
PAGE = 4096
#: Flags beside Xen's, see driver.c.
LIVE, DEBUG, WITH_POLICY, WITH_ALARMS = 1, 2, 0x100, 0x200
PLAIN, REMUS = 0, 1
FULL_SPEED = 2**64 - 1
UFFD, BITMAP = 1, 2
ROUNDS = 150  # of asking for dirty pages


@dataclasses.dataclass
class Outcome:
    """What one run of the driver said; ``retval`` and ``errno`` of the call."""

    lines: list[str]
    retval: int
    errno: int
    store: int
    console: int

    def of(self, kind):
        return [line.split(" ", 1)[1] for line in self.lines if line.startswith(kind)]

    @property
    def errors(self):
        """Texts logged at level ERROR, without libxc's tail."""
        texts = [line[2:] for line in self.of("log") if line.startswith("8 ")]
        return [text.removesuffix(": Internal error") for text in texts]


class Run:
    """A driver at work. ``answers``: call -> text, list of texts or function."""

    def __init__(self, program, directory, *args, fd=None, answers=None):
        argv = program if isinstance(program, list) else [program]
        self.answers = answers or {}
        self.process = subprocess.Popen(
            [*argv, str(directory), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            pass_fds=[] if fd is None else [fd],
        )

    def _answer(self, name, arguments):
        answer = self.answers.get(name, "0")
        if callable(answer):
            answer = answer(*arguments)
        if isinstance(answer, list):
            answer = answer.pop(0)
        return str(answer)

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def say(self, text):
        self.process.stdin.write(f"{text}\n")

    def outcome(self):
        """Answer until the end; the driver must end well, whatever the call did."""
        lines = []
        with self.process as process:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                kind, *rest = line.split()
                if kind == "call":
                    self.say(self._answer(rest[0], rest[1:]))
            process.stdin.close()
            assert process.wait(PATIENCE) == 0, lines
        numbers = [int(word) for word in lines[-1].split()[1:]]
        return Outcome(lines, *numbers)


class Hypervisor:
    """Hypercalls as libsimxen sends them."""

    INFO, MAP, UNPAUSE, RESUME = 1, 3, 5, 7

    def __init__(self, directory):
        self._path = str(directory / "hypervisor.sock")

    def call(self, op, domid, *args):
        """Give the reply's values and descriptors."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self._path)
            sock.send(struct.pack("<II7Q", op, domid, *args, *[0] * (7 - len(args))))
            data, fds, _, _ = socket.recv_fds(sock, 4096, 2)
        retval, errnoval, *values = struct.unpack("<ii15Q", data)
        assert (retval, errnoval) == (0, 0)
        return values, fds

    def memory(self, domid):
        """Give a copy of a domain's memory."""
        values, fds = self.call(self.MAP, domid)
        try:
            return os.pread(fds[0], values[0] * PAGE, 0)
        finally:
            for fd in fds:
                os.close(fd)


class Host:
    """A running host and what tests do with it."""

    def __init__(self, directory):
        self.directory = directory
        self.hypervisor = Hypervisor(directory)
        self.created = []

    def ask(self, do, **fields):
        return request(self.directory, do, **fields)

    def create(self, kind="pv", mib=4, **fields):
        name = f"{kind}-{len(self.created)}"
        wanted = {"type": kind, "memory_mib": mib, "rate": 0, "fill": True, **fields}
        domid = self.ask("create", name=name, **wanted)["domid"]
        self.created.append(domid)
        return domid

    def empty(self, kind="pv", mib=4):
        return self.create(kind, mib, restore=True, fill=False)

    def destroy_all(self):
        for domid in self.created:
            self.ask("destroy", domid=domid)
        self.created.clear()

    def info(self, domid):
        return self.ask("info", domid=domid)

    def until_dead(self, domid):
        """Ask until the domain's guest process is gone."""
        deadline = time.monotonic() + PATIENCE
        while self.info(domid)["guest_pid"]:
            assert time.monotonic() < deadline

    def whole(self, domid):
        """Every page is what it should be, and their sum what the guest says."""
        return self.ask("verify", domid=domid)["match"]

    def qmp(self, domid, execute, **arguments):
        """One command for the domain's device model."""
        with socket.socket(socket.AF_UNIX) as sock, sock.makefile("rwb") as file:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.directory / f"qmp-libxl-{domid}"))
            file.readline()
            wanted = {"execute": execute, "arguments": arguments}
            for command in ({"execute": "qmp_capabilities"}, wanted):
                file.write(json.dumps(command).encode() + b"\n")
                file.flush()
                file.readline()

    def toolstack(self, domid, **more):
        """Answers of a toolstack that does all it should for this domain."""
        hvm = self.info(domid)["type"] == "hvm"

        def suspend():
            if hvm:
                self.qmp(domid, "stop")
            return "shutdown"

        def logdirty(_domid, enable):
            if hvm:
                self.qmp(domid, "xen-set-global-dirty-log", enable=enable == "1")
            return 0

        return {"suspend": suspend, "logdirty": logdirty, **more}


def save(host, program, domid, fd, flags=0, kind=PLAIN, **answers):
    """Run a save to its end."""
    told = host.toolstack(domid, **answers)
    args = ("save", domid, fd, flags, kind)
    return Run(program, host.directory, *args, fd=fd, answers=told).outcome()


def restore(host, program, domid, fd, flags=0, kind=PLAIN, **answers):
    """Run a restore to its end."""
    args = ("restore", domid, fd, flags, kind)
    return Run(program, host.directory, *args, fd=fd, answers=answers).outcome()
