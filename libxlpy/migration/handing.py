"""Hand the stream of a migration in, and stay: all that the process does that has it.

It keeps a guest waiting, so it loads next to nothing, and blocks.
"""

import os
import socket
import struct
from contextlib import suppress

from libxlpy.errors import BackendError, reason_of

#: In the abstract namespace: it goes with whoever listens.
PREFIX = "\0libxlpy-migration-"
#: ``struct ucred``: pid, uid, gid.
CREDENTIALS = struct.Struct("3i")
#: What goes with the descriptor.
BYTE = b"\0"


def hand_in(name: str, fd: int) -> None:
    """Hand a stream in, and stay until it is no longer needed.

    Args:
        name: Of the :class:`.Landing`.
        fd: The stream; closed once it is handed in.

    Raises:
        BackendError: There is no such landing, or it is not ours.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(PREFIX + name)
            if not is_ours(sock):
                raise BackendError("the receiver that waits for it is another user's")
            socket.send_fds(sock, [BYTE], [fd])
        except OSError as exc:
            text = f"no receiver waits for this stream: {reason_of(exc)}"
            raise BackendError(text) from exc
        os.close(fd)
        with suppress(OSError):
            sock.recv(1)


def is_ours(sock: socket.socket) -> bool:
    """Tell whether the other end is the same user's, or root's."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(data)
    return uid in (0, os.geteuid())
