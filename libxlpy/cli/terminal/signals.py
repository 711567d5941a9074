"""SIGINT, SIGTERM and the like, from the first line of the program to its last.

The first thing that is imported, so it imports next to nothing. A thread of its own
takes the signals: the main thread may have gone to sleep in a system call just before
Python would have run a handler in it. While there is nothing to clean up, a signal is
told in one line and ends the program at once; whoever has something to clean up takes
the signals meanwhile.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

#: Always taken, whoever started us.
TAKEN = (signal.SIGINT, signal.SIGTERM)
#: What else ends a process unless it is taken; what whoever started us has had ignored
#: (as nohup does) stays so.
ENDING = (
    *(signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
    *(signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGXCPU),
    signal.SIGSTKFLT,
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)
SIGNALS = frozenset({*TAKEN, *ENDING})
NOTHING_CHANGED = "nothing was changed"
#: A name of a file may be no text; see `fields.readable`, which is not loaded yet.
NAMES = ("utf-8", "surrogateescape")
TEXT = ("utf-8", "backslashreplace")


class Interrupted(Exception):  # noqa: N818 - says what happened
    """A signal ended the command.

    Attributes:
        signum: Which one.
    """

    def __init__(self, signum: int, line: str | None = None) -> None:
        super().__init__(line or _stopped(signum))
        self.signum = signum


class Signals:
    """Who takes the signals of one command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held while a signal is taken
        self._take: Callable[[int], object] = _leave
        self._fd = -1  # signals that have come are bytes in this pipe
        self._settled = False
        self._late: int | None = None

    @contextlib.contextmanager
    def handled(self, *, restore: bool) -> Iterator[None]:
        """Handle them meanwhile; in the main thread only.

        Args:
            restore: Put back what handled them before; else the program ends now, and
                nothing that comes may change how.
        """
        self._fd, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        listener = threading.Thread(target=self._listen, daemon=True)
        try:
            listener.start()
        except RuntimeError as exc:  # too many
            for fd in (self._fd, writing):
                os.close(fd)
            raise SystemExit(f"xlpy: {exc}: see ulimit -u") from exc
        fd_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        before = {
            each: signal.signal(each, lambda *_: None)
            for each in SIGNALS
            if each in TAKEN or signal.getsignal(each) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler if restore else signal.SIG_IGN)
            signal.set_wakeup_fd(fd_before)
            os.close(writing)
            listener.join()
            os.close(self._fd)
            self._fd = -1

    def _listen(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while poll.poll() and self._catch_up():
            pass

    def _catch_up(self) -> bool:
        """Take the signals that have come; False if no more can come."""
        if self._fd < 0:
            return False
        with self._lock, contextlib.suppress(BlockingIOError):
            while byte := os.read(self._fd, 1):
                if byte[0] in SIGNALS:
                    self._take(byte[0])
            return False
        return True

    # ----- who takes them ---------------------------------------------------------

    @contextlib.contextmanager
    def taken_by(self, take: Callable[[int], object]) -> Iterator[None]:
        """Meanwhile call ``take`` with the number of each signal, from our thread."""
        before = self._take
        self._hand_to(take)
        try:
            yield
        finally:
            if not self._settled:
                self._hand_to(before)

    @contextlib.contextmanager
    def told_as(self, consequence: str) -> Iterator[None]:
        """Meanwhile say this of a signal in place of "nothing was changed"."""
        with self.taken_by(lambda signum: _leave(signum, consequence)):
            yield

    @contextlib.contextmanager
    def deferred(self, consequence: str) -> Iterator[Callable[[], int | None]]:
        """Meanwhile keep a signal, for a step that is to be undone then.

        A second one does not wait: it ends the program with this ``consequence``.
        Gives a function that tells whether one has come.
        """
        came: list[int] = []

        def take(signum: int) -> None:
            if came:
                _leave(signum, consequence)
            came.append(signum)

        def first() -> int | None:
            self._catch_up()
            return came[0] if came else None

        with self.taken_by(take):
            yield first

    def settle(self) -> None:
        """Take no more: how the command ends is certain and has to be told."""
        self._settled = True
        self._hand_to(self.come_late)

    def _hand_to(self, take: Callable[[int], object]) -> None:
        self._catch_up()
        with self._lock:
            self._take = take

    # ----- too late ---------------------------------------------------------------

    def come_late(self, signum: int) -> None:
        """Keep in mind that a signal came when all was settled."""
        self._late = self._late or signum

    @property
    def settled(self) -> bool:
        """Whether it is too late for a signal."""
        return self._settled

    @property
    def too_late(self) -> str:
        """What to add to the line of a command that was done when a signal came."""
        self._catch_up()
        if self._late is None:
            return ""
        return f"; {signal_name(self._late)} came too late"


def _leave(signum: int, consequence: str = NOTHING_CHANGED) -> NoReturn:
    text = _stopped(signum, consequence).encode(*NAMES).decode(*TEXT)
    with contextlib.suppress(OSError):
        os.write(2, f"xlpy: {text}\n".encode())
    os._exit(128 + signum)


def signal_name(signum: int) -> str:
    """Give ``"SIGTERM"``, ``"SIGRTMIN+3"``."""
    if signal.SIGRTMIN < signum < signal.SIGRTMAX:  # Python has no names for them
        return f"SIGRTMIN+{signum - signal.SIGRTMIN}"
    return signal.Signals(signum).name


def _stopped(signum: int, consequence: str = NOTHING_CHANGED) -> str:
    return f"stopped by {signal_name(signum)}; {consequence}"
