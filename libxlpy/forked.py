"""What is to become, in a child that was forked, of what its parent has in use.

Locks, pipes and connections are shared with a child that does not exec: its copies
would keep a dead parent's locks, its clean-up would end the parent's work. So each
thing that acts on the world outside belongs to the process that made it. In a child it
is disowned at once: descriptors lead nowhere, and it does nothing any more.

The event loop is asyncio's own, but goes on in a child that leaves by an exception; it
then shares its epoll and its wake-up socket with the parent's, which would miss things.
"""

import asyncio
import contextlib
import os
import select
import selectors
import socket
import sys
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable

from libxlpy.errors import UsageError

#: What a selector waits for -> what epoll does.
EVENTS = {
    selectors.EVENT_READ: select.EPOLLIN,
    selectors.EVENT_WRITE: select.EPOLLOUT,
    selectors.EVENT_READ | selectors.EVENT_WRITE: select.EPOLLIN | select.EPOLLOUT,
}
#: Wake-up socket and selector of asyncio's loops, called so since Python 3.4.
PARTS = ("_ssock", "_csock", "_selector")


class Owned(ABC):
    """Something that only the process that has made it may use."""

    def __init__(self) -> None:
        self.own()

    def own(self) -> None:
        """Belong to this process, and its running loop if there is one."""
        self._owner = os.getpid()
        _owned.add(self)
        with contextlib.suppress(RuntimeError):
            _loops.add(asyncio.get_running_loop())

    @property
    def is_ours(self) -> bool:
        """Tell whether we are the process that has made it, and no child of it."""
        return self._owner == os.getpid()

    def check_ours(self, what: str) -> None:
        """Refuse to be used in a child.

        Args:
            what: Its name in the message.

        Raises:
            UsageError: We are one.
        """
        if not self.is_ours:
            text = f"{what} belongs to process {self._owner}: make another one here"
            raise UsageError(f"{text}, in its child {os.getpid()}")

    @abstractmethod
    def disown(self) -> None:
        """Let go of all that is the parent's, unseen by it; called in the child."""


_owned: "weakref.WeakSet[Owned]" = weakref.WeakSet()
_loops: "weakref.WeakSet[asyncio.AbstractEventLoop]" = weakref.WeakSet()


def lead_nowhere(fds: Iterable[int]) -> None:
    """Have descriptors be of /dev/null, under their numbers; -1 is none.

    Not closed: whoever has the number would use what is opened next.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for fd in fds:
            if fd >= 0:
                os.dup2(null, fd, inheritable=False)
    finally:
        os.close(null)


def _forked() -> None:
    """In a child: let go of everything, whatever becomes of some of it."""
    for thing in [*_owned]:
        try:
            thing.disown()
        except Exception as exc:  # the rest must be let go as well
            sys.excepthook(type(exc), exc, exc.__traceback__)
    for loop in [*_loops]:
        with contextlib.suppress(OSError, AttributeError):  # one of another make
            _part(loop)
    _owned.clear()
    _loops.clear()


def _part(loop: asyncio.AbstractEventLoop) -> None:
    """Give a loop an epoll and a wake-up socket of its own, under the old numbers."""
    out, back, selector = (getattr(loop, name) for name in PARTS)
    for new, old in zip(socket.socketpair(), (out, back), strict=True):
        with new:
            new.setblocking(False)
            os.dup2(new.fileno(), old.fileno(), inheritable=False)
    if not isinstance(selector, selectors.EpollSelector):
        return
    with select.epoll() as own:
        for key in selector.get_map().values():
            with contextlib.suppress(OSError):  # it leads nowhere
                own.register(key.fd, EVENTS[key.events])
        os.dup2(own.fileno(), selector.fileno(), inheritable=False)


os.register_at_fork(after_in_child=_forked)
