"""A small synchronous QMP client, for the repair after the parent is lost."""

from __future__ import annotations

import json
import time
from _socket import AF_UNIX, SOCK_STREAM, socket  # C's, as of xenstore

from libxlpy_protocol.json_text import JsonError, parse_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LINE_MAX: Final = 1024 * 1024  # bytes of one reply


class QmpClient:
    """One connection; every method raises OSError, TimeoutError included."""

    def __init__(self, path: str, end_by: float, silence_max: float) -> None:
        """Connect and take the greeting.

        Args:
            path: Of the socket.
            end_by: Nothing lasts beyond it; monotonic seconds.
            silence_max: Seconds to wait for anything to come.
        """
        self._end_by = end_by
        self._silence_max = silence_max
        self._data = bytearray()
        self._socket = socket(AF_UNIX, SOCK_STREAM)
        try:
            self._limit()
            self._socket.connect(path)
            self._line()
            self.execute("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def execute(self, command: str, **arguments: object) -> None:
        """Run a command; events that come in between are left out.

        Raises:
            OSError: qemu answered with an error.
        """
        request: dict[str, object] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._limit()
        self._socket.sendall(json.dumps(request).encode() + b"\r\n")
        while True:
            reply = self._line()
            if "error" in reply:
                raise OSError(f"qemu: {command}: {reply['error']!r:.200}")
            if "return" in reply:
                return

    def _line(self) -> dict[str, object]:
        while b"\n" not in self._data:
            self._limit()
            try:
                part = self._socket.recv(4096)
            except TimeoutError as exc:
                raise TimeoutError("qemu does not answer") from exc
            if not part or len(self._data) > LINE_MAX:
                raise OSError("qemu closed the connection, or sends no lines")
            self._data += part
        line, _, rest = bytes(self._data).partition(b"\n")
        self._data[:] = rest
        try:
            return parse_object(line)
        except JsonError as exc:
            raise OSError(f"qemu's reply: {exc}") from exc

    def _limit(self) -> None:
        left = min(self._end_by - time.monotonic(), self._silence_max)
        if left <= 0:
            raise TimeoutError("qemu does not answer")
        self._socket.settimeout(left)
