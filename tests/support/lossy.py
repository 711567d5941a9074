"""Pass on what both ends of a migration say, up to a place: there a connection is lost.

``python lossy.py go|report COMMAND...`` runs a receiver, which speaks xl's handshake,
or ours if it is told ``--control``; stdin and stdout are the sender's. Both ways end
with this process.

``python lossy.py PLACE cut|hole|slow control|stream FD...`` has four sockets: of the
sender's control, of the receiver's, and the same of the stream. What is lost is cut,
or open but silent, or slow from there on; the other connection goes on, unless the
place is in the stream, which then stands still.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from libxlpy_protocol.migration import own, xl

#: Text -> which of the two ways it goes.
TEXTS = {"go": (0, xl.GO), "report": (1, xl.REPORT)}
#: The same of our own handshake; as soon as one would pass. The last is in the stream.
PLACES = {
    "offer": (1, own.READY),
    "received": (1, own.encode(own.Received())),
    "go": (0, own.encode(own.Go())),
    "report": (1, own.encode(own.Report(runs=True, text=""))),
    "copy": (0, b""),
}
CHUNK = 65536
#: Bytes of the stream before the place that is in it.
COPIED = 1 << 20
#: Seconds for what is slow: a message, and a piece of the stream.
SLOW = {"control": 0.5, "stream": 0.005}

Look = Callable[[bytes], None]


def relay(source: int, sink: int, look: Look) -> None:
    """Pass on what comes, to the end; each piece is looked at before."""
    while data := os.read(source, CHUNK):
        look(data)
        while data:
            data = data[os.write(sink, data) :]


def when_said(text: bytes, then: Callable[[], None]) -> Look:
    """Give what does something once a text comes."""
    tail = b""

    def look(data: bytes) -> None:
        nonlocal tail
        came = tail + data
        tail = came[1 - len(text) :]
        if text in came:
            then()

    return look


def when_copied(then: Callable[[], None]) -> Look:
    """Give what does something once so much of the stream has come."""
    left = COPIED

    def look(data: bytes) -> None:
        nonlocal left
        left -= len(data)
        if left < 0:
            then()

    return look


def nothing(_: bytes) -> None:
    """Look at a piece that is all the same."""


class Connection:
    """Both ways of one; it may be lost."""

    def __init__(self, name: str, fds: list[int]) -> None:
        """Take the sender's socket, and the receiver's."""
        self.socks = [socket.socket(fileno=fd) for fd in fds]
        self._slow = SLOW[name]
        self._how = ""

    def lose(self, how: str) -> None:
        """Lose it so from here on."""
        self._how = how
        if how == "cut":
            for sock in self.socks:
                sock.shutdown(socket.SHUT_RDWR)

    def threads(self, looks: dict[int, Look]) -> list[threading.Thread]:
        """Give what passes on both ways."""
        one, other = self.socks
        return [
            threading.Thread(
                target=self._relay, args=(*ways, looks.get(number, nothing))
            )
            for number, ways in enumerate([(one, other), (other, one)])
        ]

    def _relay(self, source: socket.socket, sink: socket.socket, look: Look) -> None:
        def look_first(data: bytes) -> None:
            look(data)
            self._suffer()

        with suppress(OSError):  # one end has gone
            relay(source.fileno(), sink.fileno(), look_first)
        self._suffer()
        for sock, way in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with suppress(OSError):
                sock.shutdown(way)

    def _suffer(self) -> None:
        if self._how == "slow":
            time.sleep(self._slow)
        while self._how == "hole":
            time.sleep(1)


def lose_one(place: str, how: str, which: str, fds: list[int]) -> None:
    """Relay both connections until they have ended, or are killed."""
    names = ("control", "stream")
    found = {
        name: Connection(name, fds[2 * number :][:2])
        for number, name in enumerate(names)
    }
    way, text = PLACES[place]

    def lose() -> None:
        found[which].lose(how)

    def lose_in_copy() -> None:
        found["stream"].lose("hole")
        lose()

    looks = {"control": {way: when_said(text, lose)}, "stream": {}}
    if not text:
        looks = {"control": {}, "stream": {way: when_copied(lose_in_copy)}}
    threads = [thread for name in names for thread in found[name].threads(looks[name])]
    for thread in threads:
        thread.start()


def run_receiver(place: str, command: list[str]) -> None:
    """Relay both ways until the receiver has ended."""
    receiver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert receiver.stdin is not None
    assert receiver.stdout is not None
    is_ours = any("--control" in word for word in command)
    number_cut, text = (PLACES if is_ours else TEXTS)[place]
    cut = when_said(text, lambda: os._exit(0))
    ways = [(0, receiver.stdin.fileno()), (receiver.stdout.fileno(), 1)]

    def pass_on(source: int, sink: int, look: Look) -> None:
        relay(source, sink, look)
        os.close(sink)

    for number, (source, sink) in enumerate(ways):
        look = cut if number == number_cut else nothing
        arguments = (source, sink, look)
        threading.Thread(target=pass_on, args=arguments, daemon=True).start()
    receiver.wait()


if __name__ == "__main__":
    if sys.argv[2] in ("cut", "hole", "slow"):
        lose_one(*sys.argv[1:4], list(map(int, sys.argv[4:])))
    else:
        run_receiver(sys.argv[1], sys.argv[2:])
