"""The real helper, but one of its frames to the parent is not what it should be.

Run as ``python -I lying_helper.py LIE AT [the helper's own arguments]``; AT is the
number of the frame, hello being 0, or the name of its message. What it lied about is
its last word on stderr.
"""

import os
import sys

import libxlpy_helper.__main__ as main
from libxlpy_helper import begun, helper, parent_wire
from libxlpy_protocol.codec import decode
from libxlpy_protocol.framing import PREFIX

LIES = ("garbage", "half", "eof", "twice")
#: Before the name of the message that the lie was about.
STRUCK = "lied about "


class LyingWire(parent_wire.Wire):
    """Sends frames as they are, until it is to lie, once."""

    lie = ""
    at = ""

    def __init__(self, *arguments: object, sent: int) -> None:
        assert sent == 0
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._sent = 0
        self._lied = False
        self._look()

    def _next_frame(self, *, calls: bool) -> bool:
        if self._lied and self.lie in {"half", "eof"}:
            return False  # never heard of again
        found = super()._next_frame(calls=calls)
        if found:
            self._look()
        return found

    def _look(self) -> None:
        """Lie about the frame that is to be sent next, if it is its turn."""
        name = type(decode(bytes(self._frame[PREFIX.size :]))[0]).__name__
        if not self._lied and self.at in {str(self._sent), name}:
            self._lied = True
            print(f"{STRUCK}{name}", file=sys.stderr, flush=True)
            self._lie()
        self._sent += 1

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
    LyingWire.lie, LyingWire.at = sys.argv[1:3]
    begun._said = lambda fd, frame: 0  # the wire says hello, too
    helper.Wire = LyingWire
    main.main(sys.argv[3:])
