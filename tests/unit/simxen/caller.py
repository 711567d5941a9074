"""A client of the store, without a socket."""

from libxlpy.simxen.xenstored.connection import Connection
from libxlpy_protocol.xenstore_wire import Packet, XsType


class Caller:
    """One connection whose packets are kept."""

    def __init__(self, store, domid=0):
        self.packets = []
        self.connection = Connection(store, domid, self.packets.append)

    def ask(self, kind, *strings, tx=0, raw=None):
        """Send a request; give the reply's payload, or the error's name as text."""
        payload = b"".join(s.encode() + b"\0" for s in strings) if raw is None else raw
        before = len(self.packets)
        self.connection.handle(Packet(kind, 7, tx, payload))
        reply = self.packets.pop(before)
        assert reply.req_id == 7
        assert reply.tx_id == tx
        if reply.type == XsType.ERROR:
            return reply.payload.rstrip(b"\0").decode()
        assert reply.type == kind
        return reply.payload

    def write(self, path, value="", tx=0):
        return self.ask(XsType.WRITE, tx=tx, raw=f"{path}\0{value}".encode())

    def read(self, path, tx=0):
        return self.ask(XsType.READ, path, tx=tx)

    def start(self):
        return int(self.ask(XsType.TRANSACTION_START, "").rstrip(b"\0"))

    def end(self, tx, commit="T"):
        return self.ask(XsType.TRANSACTION_END, commit, tx=tx)

    def events(self):
        """Take the watch events so far as (path, token)."""
        found = [tuple(p.payload.decode().split("\0")[:2]) for p in self.packets]
        assert all(p.type == XsType.WATCH_EVENT for p in self.packets)
        self.packets.clear()
        return found
