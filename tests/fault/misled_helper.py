"""The real helper, but from one frame on its stream goes nowhere, unnoticed.

Run as ``python -I misled_helper.py AT [the helper's own arguments]``; AT is the name of
the message.
"""

import contextlib
import os
import sys
from pathlib import Path

import libxlpy_helper.__main__ as main
from libxlpy_helper import helper, parent_wire
from libxlpy_protocol.codec import decode
from libxlpy_protocol.framing import PREFIX


class MisledWire(parent_wire.Wire):
    """Puts /dev/null in the place of the stream before a message is sent."""

    at = ""
    misled = False

    def _next_frame(self, *, calls: bool) -> bool:
        found = super()._next_frame(calls=calls)
        if found and not self.misled:
            name = type(decode(bytes(self._frame[PREFIX.size :]))[0]).__name__
            if name == self.at:
                self.misled = True
                mislead()
        return found


def mislead() -> None:
    null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    for link in [*Path("/proc/self/fd").iterdir()]:
        with contextlib.suppress(OSError):  # the descriptor of the folder
            if link.readlink().suffix == ".partial" or link.is_block_device():
                os.dup2(null, int(link.name), inheritable=False)
    os.close(null)


if __name__ == "__main__":
    MisledWire.at = sys.argv[1]
    helper.Wire = MisledWire
    main.main(sys.argv[2:])
