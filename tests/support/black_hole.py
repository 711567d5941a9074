"""A TCP connection whose way is lost: what is sent is dropped, and nobody says so.

Run as ``python black_hole.py idle|sending SECONDS`` in a network namespace of its own,
whose loopback is set down. Prints the error that ends the connection.
"""

import errno
import json
import socket
import subprocess
import sys

from libxlpy.deadlines import Deadlines
from libxlpy.migration.tcp import Carries, find_dead_peer

#: Seconds; far more than the deadline, and less than TCP takes by itself.
PATIENCE = 60.0


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return one, other


def ends(sock: socket.socket, *, sends: bool) -> str:
    """Wait until the connection has ended; give how."""
    sock.settimeout(PATIENCE)
    try:
        if sends:
            sock.sendall(b"is there anybody?")
        sock.recv(1)
    except TimeoutError as exc:
        return errno.errorcode.get(exc.errno or 0, "nobody has found it")
    except OSError as exc:
        return errno.errorcode[exc.errno or 0]
    return "end of file"


def main(what: str, silent: str) -> None:
    """Lose the way."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    one, other = connected()
    with one, other:
        deadlines = Deadlines(peer_silent=float(silent))
        find_dead_peer(one.fileno(), deadlines, Carries.WORDS)
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        print(json.dumps(ends(one, sends=what == "sending")))


if __name__ == "__main__":
    main(*sys.argv[1:])
