"""What the helper does up to its hello.

Its parent waits for that. So the process says it as soon as it is hardened and has its
library open, and until then loads next to nothing.
"""

from __future__ import annotations

import faulthandler
import os

from libxlpy_helper.harden import claim, harden
from libxlpy_helper.startup import EarlyLog
from libxlpy_helper.xen.library import open_library
from libxlpy_helper.xen.xenguest import take_signals
from libxlpy_protocol.hello import hello_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from libxlpy_helper.options import Options

FEATURES: Final = (
    "stat",
    "domain-ops",
    "libxl-stream",
    "suspend-event",
    "alive",
    "epochs",
)


class Begun:
    """What the process is once it has said hello: safe, and able to work."""

    def __init__(self, options: Options) -> None:
        self.parent = options.parent
        self.claimed = claim()
        # A crash inside libxc: where Python was, on stderr. The other threads run on:
        # to look at them may crash once more.
        faulthandler.enable(all_threads=False)
        self.signal_fd = take_signals()
        harden(options.parent)
        self.log = EarlyLog()
        self.library = library = open_library(options)
        self.handle = self.log.open_handle(library)
        self.control_handle = self.log.open_handle(library)
        #: Bytes of the hello that were sent; the rest is sent like all that follows.
        self.sent = _said(
            self.claimed.pipes.write_fd,
            hello_frame(library.name, library.version, FEATURES),
        )


def _said(fd: int, frame: bytes) -> int:
    try:
        return os.write(fd, frame)
    except OSError:
        return 0  # what it means is seen when it is sent again
