"""The epochs of a stream that libxl does not read itself.

libxc has read an epoch, which it holds -> so is what follows it, up to CHECKPOINT_END,
in a file -> libxl takes it from there -> our own process, which has started libxl, is
told that all of it is held -> libxc applies it.
"""

from __future__ import annotations

import os

from libxlpy_helper.callbacks import ParentCallbacks
from libxlpy_helper.dropin.records import hand_on
from libxlpy_helper.epochs import FAIL_OVER, FAILED, GO_ON, is_lost
from libxlpy_protocol.acks import pack_ack
from libxlpy_protocol.stream.libxl import LibxlRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libxlpy_helper.operation import Operation


class HandedEpochs(ParentCallbacks):
    """Callbacks of a restore with checkpoints."""

    def __init__(self, operation: Operation, records_fd: int, acks_fd: int) -> None:
        """Take the stream, what libxl reads, and where epochs are acknowledged."""
        super().__init__(operation.channel, operation.outbox)
        self.held = 0
        self._stream = operation.stream
        self._records_fd = records_fd
        self._acks_fd = acks_fd

    def checkpoint(self) -> int:
        """Read the rest of an epoch, have libxl take it, and acknowledge it."""
        if self.error is not None:
            return FAILED
        try:
            self._hand_on()
        except OSError as exc:
            if self.held and is_lost(exc):
                return FAIL_OVER
            self.error = exc
            return FAILED
        except BaseException as exc:  # it must not cross C
            self.error = exc
            return FAILED
        answer = super().checkpoint()
        return self._acknowledged() if answer == GO_ON else answer

    def _hand_on(self) -> None:
        """Put it where libxl reads on, which has read all that was there before."""
        os.lseek(self._records_fd, 0, os.SEEK_SET)  # libxl's offset is the same one
        os.ftruncate(self._records_fd, 0)
        hand_on(self._stream, self._records_fd, LibxlRecord.CHECKPOINT_END)

    def _acknowledged(self) -> int:
        self.held += 1
        try:
            os.write(self._acks_fd, pack_ack(self.held))
        except OSError as exc:  # nobody is left who could hold the domain
            self.error = exc
            return FAILED
        return GO_ON
