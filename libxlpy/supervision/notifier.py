"""Datagrams to a supervisor, as sd_notify(3) sends them; never waits, never raises."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from libxlpy.errors import UsageError

#: Microseconds in a second: the supervisor's unit.
USEC = 1_000_000


@dataclass(frozen=True, slots=True)
class Supervisor:
    """What a supervisor said in the environment of a daemon.

    Attributes:
        address: Of its socket, a path or ``@`` and an abstract name; "" if it has none.
        watchdog: Seconds within which it wants a sign of life; None if it wants none.
    """

    address: str = ""
    watchdog: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.

        Raises:
            UsageError: One of them can't be used.
        """
        return cls(environment.get("NOTIFY_SOCKET", ""), _watchdog(environment))


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

    def send(self, *assignments: str) -> bool:
        """Send assignments as one datagram.

        Returns:
            Whether it was taken, or nobody is there to take any; if not, try again.
        """
        if self._socket is None:
            return True
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
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
    usec = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", "")
    if not usec or (pid and pid != str(os.getpid())):
        return None
    if not usec.isascii() or not usec.isdigit() or int(usec) == 0:
        raise UsageError(f"WATCHDOG_USEC {usec!r} is no number of microseconds")
    return int(usec) / USEC
