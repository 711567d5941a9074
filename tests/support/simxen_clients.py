"""Small blocking clients of a simxen host's sockets."""

import functools
import json
import os
import select
import signal
import socket
import struct
import time

import psutil

from libxlpy.simxen import client
from libxlpy_protocol.xenstore_wire import Packet, PacketBuffer, XsType, encode

#: Seconds to wait for what must come; a bound, not a measure.
PATIENCE = 20.0


def until(condition):
    """Ask again until the answer is true; gives it."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"never happened: {condition}"
    return answer


class Hypervisor:
    """Hypercalls as libsimxen sends them."""

    INFO, LIST, MAP, PAUSE, UNPAUSE, SHUTDOWN, RESUME, DESTROY = range(1, 9)
    LOGDIRTY, RESTORED = 9, 10

    def __init__(self, directory):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(directory / "hypervisor.sock"))

    def call(self, op, domid=0, *args):
        """Give (retval, errnoval, values)."""
        self.send(op, domid, *args)
        return self.answer()

    def send(self, op, domid=0, *args):
        padded = [*args, *[0] * (7 - len(args))]
        self.sock.send(struct.pack("<II7Q", op, domid, *padded))

    def answer(self):
        data, self.fds, _, _ = socket.recv_fds(self.sock, 4096, 4)
        retval, errnoval, *values = struct.unpack("<ii15Q", data)
        return retval, errnoval, values

    def ok(self, op, domid=0, *args):
        retval, errnoval, values = self.call(op, domid, *args)
        assert (retval, errnoval) == (0, 0)
        return values

    def flags(self, domid):
        return self.ok(self.INFO, domid)[1]


class Xenstore:
    """The real wire protocol, blocking."""

    def __init__(self, directory):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(directory / "xenstored.sock"))
        self.buffer = PacketBuffer()
        self.packets = []

    def ask(self, kind, *strings, tx=0, raw=None):
        """Give the reply's payload; an error's name as text."""
        payload = b"".join(s.encode() + b"\0" for s in strings) if raw is None else raw
        self.sock.sendall(encode(Packet(kind, 1, tx, payload)))
        reply = self._take(lambda packet: packet.type != XsType.WATCH_EVENT)
        if reply.type == XsType.ERROR:
            return reply.payload.rstrip(b"\0").decode()
        return reply.payload

    def read(self, path, tx=0):
        return self.ask(XsType.READ, path, tx=tx)

    def write(self, path, value, tx=0):
        return self.ask(XsType.WRITE, tx=tx, raw=f"{path}\0{value}".encode())

    def watch(self, path, token="t"):
        assert self.ask(XsType.WATCH, path, token) == b"OK\0"
        assert self.event() == (path, token)

    def event(self):
        """Wait for the next watch event; gives (path, token)."""
        packet = self._take(lambda packet: packet.type == XsType.WATCH_EVENT)
        path, token, _ = packet.payload.decode().split("\0")
        return path, token

    def _take(self, wanted):
        while True:
            for packet in self.packets:
                if wanted(packet):
                    self.packets.remove(packet)
                    return packet
            data = self.sock.recv(65536)
            assert data, "xenstored closed the connection"
            self.buffer.feed(data)
            self.packets += iter(self.buffer.next_packet, None)


class Host:
    """One host and what a test needs of it."""

    def __init__(self, directory):
        self.directory = directory
        self.ask = functools.partial(client.request, directory)
        self._open = []

    @property
    def hypervisor(self):
        return self._keep(Hypervisor(self.directory))

    @property
    def xenstore(self):
        return self._keep(Xenstore(self.directory))

    def _keep(self, peer):
        self._open.append(peer)
        return peer

    @property
    def pid(self):
        return json.loads((self.directory / "host.json").read_text())["pid"]

    def create(self, name="guest", **fields):
        return self.ask("create", name=name, **{"memory_mib": 4, **fields})["domid"]

    def info(self, domid):
        return self.ask("info", domid=domid)

    def suspend(self, domid):
        """Let a guest suspend as a toolstack does; wait until it did."""
        store = self.xenstore
        store.watch("@releaseDomain")
        store.write(f"/local/domain/{domid}/control/shutdown", "suspend")
        assert store.event() == ("@releaseDomain", "t")

    def kill(self, pid):
        """Kill a process that this host started, or the host; wait for its end."""
        process = psutil.Process(pid)
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            ended, _, _ = select.select([pidfd], [], [], PATIENCE)
            assert ended, f"{process} lives on"
        finally:
            os.close(pidfd)

    def close(self):
        for peer in self._open:
            peer.sock.close()
