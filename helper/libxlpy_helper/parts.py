"""What a process has besides its library and its control thread."""

from __future__ import annotations

from libxlpy_helper.abort import DEAD_STREAM, Abort
from libxlpy_helper.channel import Channel
from libxlpy_helper.outbox import Outbox, Waker
from libxlpy_helper.stats import Stats
from libxlpy_helper.xen.xenguest import set_sink
from libxlpy_protocol.fields import NAME_MAX, clip
from libxlpy_protocol.hello import MIN_VERSION, PACKAGE, VERSION
from libxlpy_protocol.messages import Hello, Log
from libxlpy_protocol.xen import XTL_DEBUG, XTL_ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from libxlpy_helper.harden import Claimed
    from libxlpy_helper.startup import EarlyLog


class Parts:
    """Made once, by the main thread."""

    def __init__(
        self,
        claimed: Claimed,
        *,
        channel: type[Channel] = Channel,
        abort: type[Abort] = Abort,
    ) -> None:
        """Make them.

        Args:
            claimed: What the process has from its start on.
            channel: How the parent is asked.
            abort: How the operation is stopped.
        """
        self.pipes = claimed.pipes
        self.inherited = claimed.inherited
        self.stats = Stats(claimed.statm, claimed.io)
        self.waker = Waker()
        self.outbox = Outbox(self.waker.wake)
        self.channel = channel(self.outbox, Waker())
        self.abort = abort()

    def take_log(
        self, early: EarlyLog, progress: Callable[[str, str, int, int], None]
    ) -> None:
        """Send what libxc logs, and what it has logged so far.

        Args:
            early: Has that.
            progress: Takes context, doing_what, done, total.
        """
        for line in early.lines:
            self.log(*line)
        set_sink(self.log, progress)

    def log(self, level: int, errnoval: int, context: str, text: str) -> None:
        """Put a line of log among what is sent."""
        level = min(max(level, 0), 255)
        if level >= XTL_ERROR and self.abort.requested and DEAD_STREAM in text:
            level = XTL_DEBUG  # that is how an abort ends libxc, and no fault of its
        self.outbox.put(Log(level, errnoval, clip(context, NAME_MAX), clip(text)))


def hello(library: str, version: str, features: tuple[str, ...]) -> Hello:
    """Return our first message.

    Args:
        library: Name of what does the work.
        version: Its Xen release.
        features: What this program can do.
    """
    return Hello(VERSION, MIN_VERSION, PACKAGE, library, version, features)
