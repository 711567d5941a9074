"""How each program of this package starts: the helper, the drop-in and the builder."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from libxlpy_helper.abort import DEAD_STREAM, KICK, Abort
from libxlpy_helper.channel import Channel
from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.harden import HardenError, claim_control_pipes, inherited_fds
from libxlpy_helper.options import OptionsError
from libxlpy_helper.outbox import Outbox, Waker
from libxlpy_helper.stats import Stats
from libxlpy_helper.xen.xenguest import Handle, Library, LoadError, take_signals
from libxlpy_protocol.fields import NAME_MAX, clip, printable
from libxlpy_protocol.hello import MIN_VERSION, PACKAGE, VERSION
from libxlpy_protocol.messages import Hello, Log
from libxlpy_protocol.xen import XTL_DEBUG, XTL_ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import NoReturn


class NoHypervisorError(Exception):
    """Not dom0, no permission, no simxen host; the text is one line."""


def run_program(name: str, body: Callable[[], NoReturn]) -> NoReturn:
    """Do the one job; what keeps it from being begun is told on stderr.

    Args:
        name: Of the program.
        body: Ends the process itself.
    """
    try:
        body()
    except (OptionsError, HardenError) as exc:
        end(ExitStatus.USAGE, name, str(exc))
    except LoadError as exc:
        end(ExitStatus.NO_LIBRARY, name, str(exc))
    except NoHypervisorError as exc:
        end(ExitStatus.NO_HYPERVISOR, name, str(exc))
    except Exception as exc:  # the other thread would keep the process alive
        sys.excepthook(type(exc), exc, exc.__traceback__)
        end(ExitStatus.BUG, name, "internal error")


class Parts:
    """What a process has besides its library and its control thread.

    To be made by the main thread, and first: what is open before is the parent's, and
    what is opened here may not be so any more once the process is hardened.
    """

    def __init__(
        self,
        *,
        ours: Collection[int] = (),
        shares_stderr: bool = False,
        channel: type[Channel] = Channel,
        abort: type[Abort] = Abort,
    ) -> None:
        """Claim the pipes and make the rest.

        Args:
            ours: Descriptors besides the pipes that are not for the operation.
            shares_stderr: fd 2 is not ours alone.
            channel: How the parent is asked.
            abort: How the operation is stopped.

        Raises:
            HardenError: The process was not started as libxlpy does.
        """
        self.pipes = claim_control_pipes(shares_stderr=shares_stderr)
        self.inherited = inherited_fds((self.pipes.read_fd, self.pipes.write_fd, *ours))
        self.stats = Stats()
        self.waker = Waker()
        self.outbox = Outbox(self.waker.wake)
        self.channel = channel(self.outbox, Waker())
        self.abort = abort()

    def log(self, level: int, errnoval: int, context: str, text: str) -> None:
        """Put a line of log among what is sent."""
        level = min(max(level, 0), 255)
        if level >= XTL_ERROR and self.abort.requested and DEAD_STREAM in text:
            level = XTL_DEBUG  # that is how an abort ends libxc, and no fault of its
        self.outbox.put(Log(level, errnoval, clip(context, NAME_MAX), clip(text)))

    def open_handle(self, library: Library) -> Handle:
        """Open a handle to the hypervisor.

        Raises:
            NoHypervisorError: With what the library has logged.
        """
        try:
            return library.open()
        except OSError as exc:
            reasons = [exc.strerror or str(exc)]
            while (entry := self.outbox.take()) is not None:
                if isinstance(entry.message, Log) and entry.message.text:
                    reasons.append(f"({entry.message.text})")
            raise NoHypervisorError(" ".join(reasons)) from exc


def take_all_signals() -> int:
    """Block them, here and in threads to come; return a signalfd of those that end us.

    The kick is left, and SIGPIPE is ignored: a dead receiver is EPIPE.
    """
    signal_fd = take_signals(KICK)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return signal_fd


def hello(library: str, version: str, features: tuple[str, ...]) -> Hello:
    """Return our first message.

    Args:
        library: Name of what does the work.
        version: Its Xen release.
        features: What this program can do.
    """
    return Hello(VERSION, MIN_VERSION, PACKAGE, library, version, features)


def say(program: str, text: str) -> None:
    """Tell it to whoever reads our stderr, if anybody still does."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{program}: {printable(text)}\n")
        sys.stderr.flush()


def end(status: ExitStatus, program: str, text: str) -> NoReturn:
    """End the process at once, with a reason on stderr."""
    say(program, text)
    os._exit(status)
