"""Run a receiver and cut its connection where a text of the handshake would pass.

``python lossy.py go|report COMMAND...``: stdin and stdout are the sender's.
"""

import os
import subprocess
import sys
import threading

from libxlpy_protocol.migration.xl import GO, REPORT

#: Text -> which of the two ways it goes.
TEXTS = {"go": (0, GO), "report": (1, REPORT)}
CHUNK = 65536


def relay(source: int, sink: int, cut_at: bytes) -> None:
    """Pass on what comes, up to a text: both ways end there, with the process."""
    tail = b""
    while data := os.read(source, CHUNK):
        if cut_at and cut_at in tail + data:
            os._exit(0)
        tail = (tail + data)[-len(cut_at) :] if cut_at else b""
        while data:
            data = data[os.write(sink, data) :]
    os.close(sink)


def main() -> None:
    """Relay both ways until the receiver has ended."""
    where, *command = sys.argv[1:]
    receiver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert receiver.stdin is not None
    assert receiver.stdout is not None
    ways = [(0, receiver.stdin.fileno()), (receiver.stdout.fileno(), 1)]
    way, text = TEXTS[where]
    for number, (source, sink) in enumerate(ways):
        arguments = (source, sink, text if number == way else b"")
        threading.Thread(target=relay, args=arguments, daemon=True).start()
    receiver.wait()


if __name__ == "__main__":
    main()
