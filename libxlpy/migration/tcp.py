"""A peer whose host is dead, or cut off, is found by TCP itself, within a deadline.

For sockets that a toolstack gives; `ssh` looks after its own. The options belong to the
socket, not to a descriptor of it: the caller's has them, too, and keeps them.
"""

import enum
import logging
import os
import socket
import stat
from contextlib import closing

from libxlpy.deadlines import Deadlines
from libxlpy.errors import reason_of

#: Of the deadline: silence until it is asked for the first time, and between two times.
FIRST = 3
BETWEEN = 6

logger = logging.getLogger("libxlpy")


class Carries(enum.Enum):
    """What goes over a connection, as far as it is ours to send."""

    #: What is read at once: it is acknowledged at once, too.
    WORDS = enum.auto()
    #: The stream: a receiver that makes a domain, or its devices, does not read, and
    #: TCP takes that for death as well; see the deadline ``build``.
    STREAM = enum.auto()
    #: Nothing, or what is bounded otherwise: the stream comes from the other end.
    NOTHING = enum.auto()


def find_dead_peer(fd: int, deadlines: Deadlines, carries: Carries) -> None:
    """Have TCP end a connection whose other end is dead; no other is touched.

    What can't be set is logged: the deadlines of the migration hold all the same.

    Args:
        fd: Any descriptor.
        deadlines: Have ``peer_silent``: a connection on which nothing is under way ends
            after so long a silence; and ``build``.
        carries: What goes over it.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return
        with closing(socket.socket(fileno=os.dup(fd))) as sock:
            if _is_tcp(sock):
                _set(sock, deadlines, carries)
    except OSError as exc:
        text = "descriptor %d: a dead peer is found by deadlines only: %s"
        logger.warning(text, fd, reason_of(exc))


def _is_tcp(sock: socket.socket) -> bool:
    is_inet = sock.family in (socket.AF_INET, socket.AF_INET6)
    return is_inet and sock.proto == socket.IPPROTO_TCP


def _set(sock: socket.socket, deadlines: Deadlines, carries: Carries) -> None:
    silent = deadlines.peer_silent
    first = max(1, int(silent / FIRST))
    between = max(1, int(silent / BETWEEN))
    times = max(1, round((silent - first) / between))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, first)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, between)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, times)
    if carries is Carries.NOTHING:
        return
    seconds = silent
    if carries is Carries.STREAM:
        seconds = max(silent, deadlines.build)
    milliseconds = int(seconds * 1000)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
