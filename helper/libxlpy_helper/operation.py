"""One save or restore, from the start message to its outcome. Runs in the main thread.

``save.py`` and ``restore.py`` have the steps; here is what both share: which
descriptors and callbacks there are, and how an end becomes an outcome.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from libxlpy_helper.abort import Abort, AbortedError
from libxlpy_helper.callbacks import ParentCallbacks, offered_callbacks
from libxlpy_helper.channel import Channel
from libxlpy_helper.harden import close_all_but
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.parts import Parts
from libxlpy_helper.stats import Stats
from libxlpy_helper.stream import Stream
from libxlpy_helper.xen.xenguest import Handle, Result
from libxlpy_protocol.enums import Image, Mode, StreamType
from libxlpy_protocol.fields import NAME_MAX, TEXT_MAX, clip
from libxlpy_protocol.messages import Complete, Log, Message, Phase, Start
from libxlpy_protocol.table import MESSAGES
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import XTL_ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

CONTEXT: Final = "libxlpy-helper"


class RefusedError(Exception):
    """The start message asks for something impossible; nothing was done."""

    def __init__(self, errnoval: int, text: str) -> None:
        super().__init__(text)
        self.errnoval = errnoval


class Operation(Value):
    """What the steps need."""

    start: Start
    handle: Handle
    outbox: Outbox
    channel: Channel
    stats: Stats
    abort: Abort
    inherited: frozenset[int]

    @classmethod
    def of(cls, parts: Parts, start: Start, handle: Handle) -> Operation:
        """Make it of the parts of this process; ``handle`` is the main thread's."""
        return cls(
            start=start,
            handle=handle,
            outbox=parts.outbox,
            channel=parts.channel,
            stats=parts.stats,
            abort=parts.abort,
            inherited=parts.inherited,
        )

    @property
    def offered(self) -> frozenset[str]:
        """Names of Xen's callbacks that the parent answers."""
        return offered_callbacks(self.start.callback_mask)

    @property
    def stream(self) -> Stream:
        """The stream fd, for records of ours."""
        return Stream(self.start.stream_fd, self.abort.check)

    @property
    def is_libxl(self) -> bool:
        """Whether libxl's records go around the libxc stream."""
        return self.start.image is Image.LIBXL

    @property
    def has_checkpoints(self) -> bool:
        """Whether the stream goes on, epoch after epoch."""
        return self.start.stream_type is not StreamType.PLAIN

    def phase(self, name: str) -> None:
        """Begin a part; after an abort there is none to begin.

        Raises:
            AbortedError: The operation was aborted.
        """
        self.abort.check()
        self.stats.phase = name
        self.outbox.put(Phase(name))

    def callbacks(self) -> ParentCallbacks:
        """Return the object that libxc's callbacks go to."""
        return ParentCallbacks(self.channel, self.outbox)

    def offers(self, call: type[Message]) -> bool:
        """Tell whether the parent answers this call."""
        return bool(self.start.callback_mask >> MESSAGES[call].number & 1)


class StepError(Exception):
    """A step failed; carries what libxc or the system said."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"returned {result.retval}, errno {result.errnoval}")
        self.result = result


def run(operation: Operation, steps: Callable[[Operation], None]) -> Complete:
    """Do the operation; whatever happens becomes one Complete."""
    try:
        result = _run(operation, steps)
    except Exception as exc:  # a bug of ours must end as a failed operation too
        sys.excepthook(type(exc), exc, exc.__traceback__)
        _log(operation, errno.EPROTO, "internal error, see the helper's stderr")
        result = Result(-1, errno.EPROTO)
    aborted = operation.abort.requested
    return Complete(result.retval, result.errnoval, aborted)


def _run(operation: Operation, steps: Callable[[Operation], None]) -> Result:
    try:
        with _Streams(operation):
            steps(operation)
    except AbortedError:
        return Result(-1, errno.ECANCELED)
    except StepError as exc:
        return exc.result
    except RefusedError as exc:
        _log(operation, exc.errnoval, str(exc))
        return Result(-1, exc.errnoval)
    except OSError as exc:
        number = exc.errno or errno.EIO
        _log(operation, number, exc.strerror or str(exc))
        return Result(-1, number)
    return Result(0, 0)


def check_result(callbacks: ParentCallbacks, result: Result) -> None:
    """Go on only if libxc succeeded.

    Raises:
        StepError: libxc failed.
        BaseException: What a callback had raised.
    """
    if callbacks.error is not None:
        raise callbacks.error
    if result.retval:
        raise StepError(result)


def _log(operation: Operation, errnoval: int, text: str) -> None:
    if operation.abort.requested:
        return  # what follows from an abort is no news
    context = clip(CONTEXT, NAME_MAX)
    operation.outbox.put(Log(XTL_ERROR, errnoval, context, clip(text, TEXT_MAX)))


class _Streams:
    """The operation's descriptors: checked, blocking, cut by an abort."""

    def __init__(self, operation: Operation) -> None:
        start = operation.start
        self._operation = operation
        self._wanted = [fd for fd in (start.stream_fd, start.recv_fd) if fd != -1]
        self._nonblocking: list[int] = []

    def __enter__(self) -> None:
        operation = self._operation
        _check_fds(operation)
        close_all_but(operation.inherited, self._wanted)
        for fd in self._wanted:
            if not os.get_blocking(fd):
                # libxc can't do with EAGAIN. The flag is shared with whoever gave us
                # the descriptor, so it is put back.
                self._nonblocking.append(fd)
                os.set_blocking(fd, True)
        writing = operation.start.mode is not Mode.RESTORE
        operation.stats.measure(
            operation.start.stream_fd,
            writing=writing,
            apart=lambda: (
                operation.handle.spliced() - operation.channel.talked(writing=writing)
            ),
        )
        operation.abort.guard(self._wanted)

    def __exit__(self, *_: object) -> None:
        if self._operation.abort.requested:
            return  # the numbers no longer stand for the streams
        for fd in self._nonblocking:
            os.set_blocking(fd, False)


def _check_fds(operation: Operation) -> None:
    """Refuse numbers that are not descriptors given to us.

    Raises:
        RefusedError: EBADF.
    """
    start = operation.start
    if start.stream_fd not in operation.inherited:
        raise RefusedError(errno.EBADF, f"stream_fd {start.stream_fd} was not passed")
    if start.recv_fd != -1 and start.recv_fd not in operation.inherited:
        raise RefusedError(errno.EBADF, f"recv_fd {start.recv_fd} was not passed")
    if stat.S_ISDIR(os.fstat(start.stream_fd).st_mode):
        raise RefusedError(errno.EISDIR, "stream_fd is a directory")
