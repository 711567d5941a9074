"""A libxl stream with checkpoints: what goes behind each epoch of libxc's.

Saving: libxc has written an epoch and the guest runs again -> what the device model was
at its end, CHECKPOINT_END -> the parent is told, who answers when to take the next one.

Restoring: libxc has read an epoch, which it holds -> so is what follows it, up to
CHECKPOINT_END -> the parent is told that all of it is held -> libxc applies it. An
epoch that is not whole is never used: should the stream end, the domain is what it was
at the end of the last whole one.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager

from libxlpy_helper.callbacks import ParentCallbacks
from libxlpy_helper.records import RecordReader, Sink, write_all
from libxlpy_helper.stream import CHUNK, StreamEndedError
from libxlpy_protocol.stream.libxl import LibxlRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from libxlpy_helper.channel import Channel
    from libxlpy_helper.outbox import Outbox
    from libxlpy_helper.stream import Stream

#: What libxc is answered; Xen: tools/include/xenguest.h, XGR_CHECKPOINT_*.
FAILED: Final = 0
GO_ON: Final = 1
FAIL_OVER: Final = 2
#: How a connection ends whose other end is gone.
LOST: Final = frozenset({errno.ECONNRESET, errno.ETIMEDOUT, errno.EPIPE})


class SavedEpochs(ParentCallbacks):
    """Callbacks of a save with checkpoints."""

    def __init__(
        self, channel: Channel, outbox: Outbox, write_behind: Callable[[], None]
    ) -> None:
        """Take what writes all that goes behind an epoch of libxc's."""
        super().__init__(channel, outbox)
        self._write_behind = write_behind

    def checkpoint(self) -> int:
        """Write the rest of an epoch, then ask the parent."""
        if self.error is None:
            try:
                self._write_behind()
            except BaseException as exc:  # it must not cross C
                self.error = exc
        return super().checkpoint()


class Epoch(Sink):
    """What follows one epoch of libxc's, in memory."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._fd = -1

    def xenstore_data(self, data: bytes) -> None:
        """See the base class."""
        self._data.append(data)

    @contextmanager
    def emulator_context(self) -> Iterator[int]:
        """See the base class."""
        self._fd = os.memfd_create("epoch")
        yield self._fd

    def hand_on(self, sink: Sink) -> None:
        """Give all of it to what the domain is made of.

        Raises:
            OSError: It is not taken.
        """
        for data in self._data:
            sink.xenstore_data(data)
        if self._fd == -1:
            return
        os.lseek(self._fd, 0, os.SEEK_SET)
        with sink.emulator_context() as fd:
            while data := os.read(self._fd, CHUNK):
                write_all(fd, data)

    def close(self) -> None:
        """Give the memory back; idempotent."""
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1


class HeldEpochs(ParentCallbacks):
    """Callbacks of a restore with checkpoints; ``last`` is the last whole epoch."""

    def __init__(
        self, channel: Channel, outbox: Outbox, stream: Stream, *, has_emulator: bool
    ) -> None:
        """Take the stream, and whether records of a device model are due in it."""
        super().__init__(channel, outbox)
        self.last: Epoch | None = None
        self._stream = stream
        self._has_emulator = has_emulator

    def checkpoint(self) -> int:
        """Read the rest of an epoch, and tell the parent once all of it is held."""
        if self.error is not None:
            return FAILED
        epoch = Epoch()
        try:
            self._read(epoch)
        except OSError as exc:
            epoch.close()
            if self.last is not None and is_lost(exc):
                return FAIL_OVER
            self.error = exc
            return FAILED
        except BaseException as exc:  # it must not cross C
            epoch.close()
            self.error = exc
            return FAILED
        answer = super().checkpoint()
        if answer == GO_ON:
            epoch, self.last = self.last or epoch, epoch
        if epoch is not self.last:
            epoch.close()
        return answer

    def _read(self, epoch: Epoch) -> None:
        sink = epoch if self._has_emulator else None
        RecordReader(self._stream, sink).read_to(LibxlRecord.CHECKPOINT_END)


def is_lost(error: OSError) -> bool:
    """Tell whether the stream has ended, and not what came in it is wrong."""
    return isinstance(error, StreamEndedError) or error.errno in LOST
