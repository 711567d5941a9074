"""Read what libxl puts behind the libxc stream: the device model's records.

They end with END, or, in a stream with checkpoints, each time with CHECKPOINT_END.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from contextlib import contextmanager

from libxlpy_helper import own_files
from libxlpy_helper.stream import EMULATOR_HEADER_SIZE, Stream, chunks, protocol_errors
from libxlpy_protocol.stream.libxl import (
    OPTIONAL_RECORD,
    RECORD_HEADER_SIZE,
    XENSTORE_DATA_MAX,
    LibxlRecord,
    RecordHeader,
    padding,
    unpack_emulator_header,
    unpack_libxl_record,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Sink(ABC):
    """What takes the device model's state."""

    @abstractmethod
    def xenstore_data(self, data: bytes) -> None:
        """Take what toolstack_save had collected.

        Raises:
            OSError: It can't be taken.
        """

    @abstractmethod
    def emulator_context(self) -> AbstractContextManager[int]:
        """Give an empty file for qemu's state.

        Raises:
            OSError: There can be none.
        """


class Domain(Sink):
    """The domain itself."""

    def __init__(
        self, toolstack_restore: Callable[[bytes], None], path: str, made_as: str
    ) -> None:
        """Prepare.

        Args:
            toolstack_restore: Takes the state that toolstack_save had collected.
            path: File to write qemu's state to.
            made_as: Name of a file of ours that may be there, left by an earlier
                restore.
        """
        self._toolstack_restore = toolstack_restore
        self._path = path
        self._made_as = made_as

    def xenstore_data(self, data: bytes) -> None:
        """See the base class."""
        self._toolstack_restore(data)

    @contextmanager
    def emulator_context(self) -> Iterator[int]:
        """See the base class: for root's eyes only; an earlier restore's is replaced.

        Raises:
            OSError: EEXIST: another file is there, which is not ours to remove.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with own_files.opened(self._path) as place:
            place.remove(self._made_as)
            fd = os.open(place.name, flags, 0o600, dir_fd=place.folder)
        try:
            yield fd
        finally:
            os.close(fd)


class RecordReader:
    """Reads the records once."""

    def __init__(self, stream: Stream, sink: Sink | None) -> None:
        """Prepare.

        Args:
            stream: Where libxc stopped.
            sink: Takes the device model's state; None for a domain that has none.
        """
        self._stream = stream
        self._sink = sink
        self._last: int = LibxlRecord.LIBXC_CONTEXT

    def read_to(self, end: LibxlRecord) -> None:
        """Read records up to the one that ends them.

        Args:
            end: END or CHECKPOINT_END.

        Raises:
            StreamEndedError: It is missing.
            OSError: EPROTO: a record is wrong, out of order, or repeated.
        """
        handlers = {
            LibxlRecord.EMULATOR_XENSTORE_DATA: self._xenstore_data,
            LibxlRecord.EMULATOR_CONTEXT: self._emulator_context,
        }
        while (record := self._next(end)).type != end:
            if record.type >= OPTIONAL_RECORD:
                self._skip(record.length)
            else:
                handlers[LibxlRecord(record.type)](record.length)

    def _next(self, end: LibxlRecord) -> RecordHeader:
        """Read a record's header; the types come in rising order, each at most once.

        Optional ones may come anywhere.
        """
        with protocol_errors():
            record = unpack_libxl_record(self._stream.read(RECORD_HEADER_SIZE))
        if record.type == end or record.type >= OPTIONAL_RECORD:
            return record
        if not self._last < record.type <= LibxlRecord.EMULATOR_CONTEXT:
            raise OSError(errno.EPROTO, f"record of type {record.type} out of order")
        self._last = record.type
        return record

    def _xenstore_data(self, length: int) -> None:
        if length > EMULATOR_HEADER_SIZE + XENSTORE_DATA_MAX:
            raise OSError(errno.EPROTO, f"EMULATOR_XENSTORE_DATA of {length} bytes")
        sink = self._expected()
        self._emulator_header()
        data = self._stream.read(length - EMULATOR_HEADER_SIZE)
        self._skip_padding(length)
        sink.xenstore_data(data)

    def _emulator_context(self, length: int) -> None:
        sink = self._expected()
        self._emulator_header()
        with sink.emulator_context() as fd:
            for amount in chunks(length - EMULATOR_HEADER_SIZE):
                write_all(fd, self._stream.read(amount))
        self._skip_padding(length)

    def _skip(self, length: int) -> None:
        for amount in chunks(length):
            self._stream.read(amount)
        self._skip_padding(length)

    def _expected(self) -> Sink:
        if self._sink is None:
            raise OSError(errno.EPROTO, "emulator state for a domain without emulator")
        return self._sink

    def _emulator_header(self) -> None:
        with protocol_errors():
            unpack_emulator_header(self._stream.read(EMULATOR_HEADER_SIZE))

    def _skip_padding(self, length: int) -> None:
        if any(self._stream.read(padding(length))):
            raise OSError(errno.EPROTO, "padding is not zero")


def write_all(fd: int, data: bytes) -> None:
    """Write to a file of ours."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
