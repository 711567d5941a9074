"""A supervisor's end of a notify socket: a real datagram socket."""

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

#: Seconds for what must come; a bound, not a measure.
PATIENCE = 50.0
NUMBERS = itertools.count()


class Listener:
    """Reads what a daemon tells, and takes the descriptors that come along."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self._socket = sock
        self.address = address
        self.told: list[str] = []
        self.fds: list[int] = []

    def until(self, start: str) -> str:
        """Read until an assignment begins so; give the rest of it."""
        while True:
            data, fds, _, _ = socket.recv_fds(self._socket, 65536, 1)
            self.fds += fds
            lines = data.decode().split("\n")
            self.told += lines
            for line in lines:
                if line.startswith(start):
                    return line.removeprefix(start)

    def until_status(self, part: str) -> str:
        """Read until a status has something in it; give the status."""
        while True:
            status = self.until("STATUS=")
            if part in status:
                return status


@contextlib.contextmanager
def listening(folder: Path | None = None) -> Iterator[Listener]:
    """Listen in a folder, or under an abstract name."""
    name = f"notify-{os.getpid()}-{next(NUMBERS)}"
    address = f"@libxlpy-{name}" if folder is None else str(folder / name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind("\0" + address[1:] if folder is None else address)
        listener = Listener(sock, address)
        yield listener
        for fd in listener.fds:
            os.close(fd)
