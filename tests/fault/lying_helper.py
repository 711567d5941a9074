"""The real helper, but its N-th frame to the parent is not what it should be.

Run as ``python -I lying_helper.py LIE N [the helper's own arguments]``.
"""

import os
import sys

from libxlpy_helper import wire
from libxlpy_helper.__main__ import main

LIES = ("garbage", "half", "eof", "twice")


class LyingWire(wire.Wire):
    """Sends the first N frames as they are, then lies once."""

    lie = ""
    left = 0

    def _next_frame(self, *, calls: bool) -> bool:
        if self.left < 0 and self.lie in {"half", "eof"}:
            return False  # never heard of again
        found = super()._next_frame(calls=calls)
        if found:
            type(self).left -= 1
            if self.left == -1:
                self._lie()
        return found

    def _lie(self) -> None:
        if self.lie == "garbage":
            self._frame = memoryview(b"\x00\x00\x00\x07garbage")
        elif self.lie == "half":
            self._frame = self._frame[: len(self._frame) // 2]
        elif self.lie == "twice":
            self._frame = memoryview(bytes(self._frame) * 2)
        else:
            null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, self.write_fd, inheritable=False)
            os.close(null)


if __name__ == "__main__":
    LyingWire.lie, LyingWire.left = sys.argv[1], int(sys.argv[2])
    import libxlpy_helper.__main__ as helper

    helper.Wire = LyingWire
    main(sys.argv[3:])
