"""Ask a guest to suspend by the event channel that it offers, and hear from it.

Who uses the channel locks a file, as libxl and xen-hptool do, by the same kind of lock:
it ends with us, however that is. Nothing here waits for anybody: the parent looks where
the guest is, an event only makes it look at once.

Xen: tools/libs/guest/xg_suspend.c.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select

from libxlpy_helper import own_files
from libxlpy_helper.guest import Guest
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.xen.event_channel import EventChannel
from libxlpy_helper.xen.xenguest import Handle
from libxlpy_protocol.messages import AskToSuspend, OpResult, SuspendEvent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Final

TRIES: Final = 16  # at a lock file that others remove at that moment
LOCK_SIZE: Final = 1  # bytes; what the others lock, too


class SuspendChannel:
    """The channel of one save; nothing is open before it is asked for."""

    def __init__(self, handle: Handle, poll: select.epoll, outbox: Outbox) -> None:
        """Take the control thread's handle, what it polls, and where its news go."""
        self._handle = handle
        self._poll = poll
        self._outbox = outbox
        self._path = self._made_as = ""
        self._lock_fd = -1
        self._channel: EventChannel | None = None

    def ask(
        self, guest: Guest | None, ask: AskToSuspend, *, again: bool = False
    ) -> OpResult:
        """Open the channel, if it is not yet, and ask; a failure is in the result.

        Args:
            guest: The one that is saved.
            ask: What the parent says.
            again: The guest may be asked more than once, as with checkpoints.
        """
        if guest is None or (self._channel is not None and not again):
            return OpResult(-1, errno.EINVAL)
        try:
            self._ask(guest, ask)
        except OSError as exc:
            self.close()
            return OpResult(-1, exc.errno or errno.EIO)
        return OpResult(0)

    def _ask(self, guest: Guest, ask: AskToSuspend) -> None:
        """Lock, bind, ask; a domain that is another one by now is not asked."""
        _refuse_another(guest)
        if self._channel is None:
            self._channel = self._opened(ask)
            self._poll.register(self._channel.fd, select.EPOLLIN)
            _refuse_another(guest)
        else:
            self._channel.unmask()
        self._channel.notify()

    def _opened(self, ask: AskToSuspend) -> EventChannel:
        self._lock_fd = lock(ask.lock_path)
        self._path = ask.lock_path
        self._made_as = f"suspend-evtchn-{ask.domid}.lock"
        return self._handle.event_channel(ask.domid, ask.port)

    def look(self, ready: Container[int]) -> None:
        """Tell the parent if one of the descriptors that are ready is ours."""
        if self._channel is None or self._channel.fd not in ready:
            return
        try:
            self._channel.take()
        except OSError:
            self.close()  # the parent looks once a second anyway
        else:
            self._outbox.put(SuspendEvent())

    def unmask(self) -> None:
        """Let another event come: not at once, lest the guest can keep us busy."""
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.unmask()

    def close(self) -> None:
        """Give the channel back, then the lock; does nothing if none is open."""
        if self._channel is not None:
            self._poll.unregister(self._channel.fd)
            self._channel.close()
            self._channel = None
        if self._lock_fd != -1:
            with contextlib.suppress(OSError):
                self._remove_lock()  # while it is locked
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _remove_lock(self) -> None:
        with own_files.opened(self._path) as file:
            if _is_at(self._lock_fd, file):
                file.remove(self._made_as)


def lock(path: str) -> int:
    """Make and lock a file; return the descriptor that holds the lock.

    Raises:
        OSError: EAGAIN or EACCES, somebody else has it; or it can't be made.
    """
    with own_files.opened(path) as file:
        return _locked(file)


def _locked(file: own_files.Name) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    for _ in range(TRIES):
        fd = os.open(file.name, flags, 0o600, dir_fd=file.folder)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, LOCK_SIZE)
            if _is_at(fd, file):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # removed by who had it before: lock the next one
    raise OSError(errno.EAGAIN, "the lock file changes all the time")


def _is_at(fd: int, file: own_files.Name) -> bool:
    status = file.status()
    return status is not None and os.path.samestat(os.fstat(fd), status)


def _refuse_another(guest: Guest) -> None:
    if guest.is_replaced():
        raise OSError(errno.ESTALE, "another domain has the domid")
