"""Datagrams to a supervisor, as sd_notify(3) sends them; never waits, never raises."""

import os
import socket
from collections.abc import Mapping
from struct import pack
from typing import Self

from libxlpy.errors import UsageError
from libxlpy_protocol.fields import brief
from libxlpy_protocol.value import Value

#: Microseconds in a second: the supervisor's unit.
USEC = 1_000_000
#: Control message that has a descriptor.
RIGHTS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)
#: First descriptor that a supervisor hands over; sd_listen_fds(3).
FIRST_LISTEN_FD = 3
#: Of the largest number in the environment.
DIGITS = 20


class Supervisor(Value):
    """What a supervisor said in the environment of a daemon.

    Attributes:
        address: Of its socket, a path or ``@`` and an abstract name; "" if it has none.
        watchdog: Seconds within which it wants a sign of life; None if it wants none.
        room: Descriptors that it keeps for a later life of the daemon, at most.
        handed: Name -> descriptor that it has handed over; ours, inheritable.
    """

    address: str = ""
    watchdog: float | None = None
    room: int = 0
    handed: Mapping[str, int] = {}

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_*``, ``FDSTORE`` and ``LISTEN_*``.

        Raises:
            UsageError: One of them can't be used.
        """
        return cls(
            environment.get("NOTIFY_SOCKET", ""),
            _watchdog(environment),
            _number(environment, "FDSTORE", "descriptors"),
            _handed(environment),
        )


class Notifier:
    """The way to one supervisor; does nothing if there is none."""

    def __init__(self, address: str) -> None:
        """Open the way.

        Args:
            address: As of :class:`Supervisor`.

        Raises:
            UsageError: It is no address of a unix socket.
        """
        if address and address[0] not in "/@":
            text = "must be a path or @ and an abstract name"
            raise UsageError(f"notify socket {address!r} {text}")
        self._address = _abstract(address)
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def send(self, *assignments: str, fd: int | None = None) -> bool:
        """Send assignments as one datagram.

        Args:
            assignments: Each a name, "=" and a value.
            fd: Goes along, for ``FDSTORE=1``.

        Returns:
            Whether it was taken, or nobody is there to take any; if not, try again.
        """
        if self._socket is None:
            return True
        along = [] if fd is None else [(*RIGHTS, pack("i", fd))]
        text = "\n".join(assignments).encode()
        try:  # socket.send_fds of Python 3.11 takes no address
            self._socket.sendmsg([text], along, 0, self._address)
        except OSError:
            return False  # its queue is full, or it is about to come back
        return True

    def close(self) -> None:
        """Close the way; idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _abstract(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address


def _watchdog(environment: Mapping[str, str]) -> float | None:
    """Give the seconds of the watchdog, if it is for us."""
    pid = environment.get("WATCHDOG_PID", "")
    if not environment.get("WATCHDOG_USEC") or (pid and pid != str(os.getpid())):
        return None
    usec = _number(environment, "WATCHDOG_USEC", "microseconds", least=1)
    return usec / USEC


def _handed(environment: Mapping[str, str]) -> dict[str, int]:
    """Give the descriptors handed over, if they are for us, by their names."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}
    number = _number(environment, "LISTEN_FDS", "descriptors")
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    if not number or names == [""]:
        return {}  # what has no name is none that we have given away
    if len(names) != number:
        text = f"LISTEN_FDS {number} does not fit LISTEN_FDNAMES of {len(names)} names"
        raise UsageError(text)
    return {name: FIRST_LISTEN_FD + place for place, name in enumerate(names)}


def _number(
    environment: Mapping[str, str], name: str, what: str, *, least: int = 0
) -> int:
    """Give a number of the environment; 0 if it is not there.

    Raises:
        UsageError: It is none, or too small.
    """
    text = environment.get(name, "")
    digits = text.isascii() and text.isdigit() and len(text) <= DIGITS
    if text and not (digits and int(text) >= least):
        raise UsageError(f"{name} {brief(text)} is no number of {what}")
    return int(text or 0)
