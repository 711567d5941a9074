"""Write and read what libxl puts around the libxc stream, on the stream fd itself.

Exact sizes only, in both directions: the fd is shared with libxc in time, so a byte
read ahead would be a byte lost. Each step heeds an abort.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from contextlib import contextmanager

from libxlpy_helper import own_files
from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.stream.libxl import (
    LIBXL_HEADER_SIZE,
    OPTIONAL_RECORD,
    RECORD_HEADER_SIZE,
    XENSTORE_DATA_MAX,
    EmulatorHeader,
    LibxlRecord,
    RecordHeader,
    pack_emulator_header,
    pack_libxl_header,
    pack_libxl_record,
    pack_record_header,
    padding,
    unpack_emulator_header,
    unpack_libxl_header,
    unpack_libxl_record,
)
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

CHUNK: Final = 64 * 1024  # bytes of emulator state in memory at a time
EMULATOR_HEADER_SIZE: Final = 8


class Stream(Value):
    """The stream fd, and how to notice an abort between two system calls."""

    fd: int
    check: Callable[[], None]

    def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            OSError: The stream is broken or full.
            AbortedError: The operation was aborted.
        """
        view = memoryview(data)
        while view:
            self.check()
            view = view[os.write(self.fd, view) :]

    def read(self, size: int) -> bytes:
        """Read exactly ``size`` bytes.

        Raises:
            OSError: The stream is broken; EPROTO: it ends too early.
            AbortedError: The operation was aborted.
        """
        data = bytearray()
        while len(data) < size:
            self.check()
            part = os.read(self.fd, size - len(data))
            if not part:
                raise OSError(errno.EPROTO, "the stream ends before its END")
            data += part
        return bytes(data)

    def at_end(self) -> bool:
        """Tell whether there is no more to read; does not wait, may take a byte.

        Raises:
            OSError: The stream is broken.
            AbortedError: The operation was aborted.
        """
        self.check()
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(0)) and not os.read(self.fd, 1)


# --------------------------------------------------------------------------------------
# Writing
# --------------------------------------------------------------------------------------


def write_header(stream: Stream) -> None:
    """Write what comes before the libxc stream."""
    stream.write(pack_libxl_header() + pack_libxl_record(LibxlRecord.LIBXC_CONTEXT))


def write_xenstore_data(stream: Stream, emulator_id: int, data: bytes) -> None:
    """Write the toolstack's state; no record if there is none."""
    if data:
        body = pack_emulator_header(EmulatorHeader(emulator_id)) + data
        stream.write(pack_libxl_record(LibxlRecord.EMULATOR_XENSTORE_DATA, body))


def write_emulator_context(stream: Stream, emulator_id: int, path: str) -> None:
    """Write the file that qemu saved to, a chunk at a time.

    Raises:
        OSError: The file is missing, no regular file, too large, or it shrinks.
    """
    with _opened(path, os.O_RDONLY | os.O_NONBLOCK) as fd:
        size = _regular_size(fd, path)
        length = EMULATOR_HEADER_SIZE + size
        stream.write(
            pack_record_header(RecordHeader(LibxlRecord.EMULATOR_CONTEXT, length))
            + pack_emulator_header(EmulatorHeader(emulator_id))
        )
        for amount in _chunks(size):
            data = os.read(fd, amount)
            if len(data) != amount:
                raise OSError(errno.EIO, f"{path} shrank while it was read")
            stream.write(data)
        stream.write(bytes(padding(length)))


def write_end(stream: Stream) -> None:
    """Write the last record."""
    stream.write(pack_libxl_record(LibxlRecord.END))


def _regular_size(fd: int, path: str) -> int:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"{path} is no regular file")
    return status.st_size


# --------------------------------------------------------------------------------------
# Reading
# --------------------------------------------------------------------------------------


def read_header(stream: Stream) -> bytes:
    """Read what comes before the libxc stream; it is also returned.

    Raises:
        OSError: EPROTO: it is something else.
    """
    header = stream.read(LIBXL_HEADER_SIZE)
    with _protocol_errors():
        unpack_libxl_header(header)
        context = stream.read(RECORD_HEADER_SIZE)
        record = unpack_libxl_record(context)
    if record.type != LibxlRecord.LIBXC_CONTEXT:
        raise OSError(errno.EPROTO, "the first record is no LIBXC_CONTEXT")
    return header + context


class RecordReader:
    """Reads what comes after the libxc stream, up to END."""

    def __init__(
        self,
        stream: Stream,
        toolstack_restore: Callable[[bytes], None],
        path: str,
        made_as: str | None = None,
    ) -> None:
        """Prepare.

        Args:
            stream: Where libxc stopped.
            toolstack_restore: Takes the state that toolstack_save had collected.
            path: File to write qemu's state to; "" if the domain has no emulator.
            made_as: Name of a file of ours that may be there, left by an earlier
                restore; the one in ``path`` if None.
        """
        self._stream = stream
        self._toolstack_restore = toolstack_restore
        self._path = path
        self._made_as = os.path.basename(path) if made_as is None else made_as
        self._last: int = LibxlRecord.LIBXC_CONTEXT

    def read_all(self) -> None:
        """Read records until END.

        Raises:
            OSError: EPROTO: a record is wrong, out of order, repeated, or END missing.
        """
        handlers = {
            LibxlRecord.EMULATOR_XENSTORE_DATA: self._xenstore_data,
            LibxlRecord.EMULATOR_CONTEXT: self._emulator_context,
        }
        while (record := self._next()).type != LibxlRecord.END:
            if record.type >= OPTIONAL_RECORD:
                self._skip(record.length)
            else:
                handlers[LibxlRecord(record.type)](record.length)

    def _next(self) -> RecordHeader:
        """Read a record's header; the types come in rising order, each at most once.

        Optional ones may come anywhere.
        """
        with _protocol_errors():
            record = unpack_libxl_record(self._stream.read(RECORD_HEADER_SIZE))
        if record.type == LibxlRecord.END or record.type >= OPTIONAL_RECORD:
            return record
        if not self._last < record.type <= LibxlRecord.EMULATOR_CONTEXT:
            raise OSError(errno.EPROTO, f"record of type {record.type} out of order")
        self._last = record.type
        return record

    def _xenstore_data(self, length: int) -> None:
        if length > EMULATOR_HEADER_SIZE + XENSTORE_DATA_MAX:
            raise OSError(errno.EPROTO, f"EMULATOR_XENSTORE_DATA of {length} bytes")
        self._expect_emulator()
        self._emulator_header()
        data = self._stream.read(length - EMULATOR_HEADER_SIZE)
        self._skip_padding(length)
        self._toolstack_restore(data)

    def _emulator_context(self, length: int) -> None:
        self._expect_emulator()
        self._emulator_header()
        with _created(self._path, self._made_as) as fd:
            for amount in _chunks(length - EMULATOR_HEADER_SIZE):
                _write_all(fd, self._stream.read(amount))
        self._skip_padding(length)

    def _skip(self, length: int) -> None:
        for amount in _chunks(length):
            self._stream.read(amount)
        self._skip_padding(length)

    def _expect_emulator(self) -> None:
        if not self._path:
            raise OSError(errno.EPROTO, "emulator state for a domain without emulator")

    def _emulator_header(self) -> None:
        with _protocol_errors():
            unpack_emulator_header(self._stream.read(EMULATOR_HEADER_SIZE))

    def _skip_padding(self, length: int) -> None:
        if any(self._stream.read(padding(length))):
            raise OSError(errno.EPROTO, "padding is not zero")


# --------------------------------------------------------------------------------------
# Both
# --------------------------------------------------------------------------------------


@contextmanager
def _protocol_errors() -> Iterator[None]:
    try:
        yield
    except StreamFormatError as exc:
        raise OSError(errno.EPROTO, str(exc)) from exc


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _created(path: str, made_as: str) -> Iterator[int]:
    """A new file, for root's eyes only; one left by an earlier restore is replaced.

    Raises:
        OSError: EEXIST: another file is there, which is not ours to remove.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with own_files.opened(path) as place:
        place.remove(made_as)
        fd = os.open(place.name, flags, 0o600, dir_fd=place.folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _chunks(size: int) -> Iterator[int]:
    while size > 0:
        yield min(size, CHUNK)
        size -= CHUNK


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
