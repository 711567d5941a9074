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

from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.stream.libxl import (
    LIBXL_HEADER_SIZE,
    RECORD_HEADER_SIZE,
    EmulatorHeader,
    LibxlRecord,
    RecordHeader,
    pack_emulator_header,
    pack_libxl_header,
    pack_libxl_record,
    pack_record_header,
    padding,
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


class StreamEndedError(OSError):
    """The stream ends where more of it is due."""

    def __init__(self) -> None:
        super().__init__(errno.EPROTO, "the stream ends before its END")


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
            with self._unless_cut():
                view = view[os.write(self.fd, view) :]

    def read(self, size: int) -> bytes:
        """Read exactly ``size`` bytes.

        Raises:
            StreamEndedError: It ends too early.
            OSError: The stream is broken.
            AbortedError: The operation was aborted.
        """
        data = bytearray()
        while len(data) < size:
            self.check()
            with self._unless_cut():
                part = os.read(self.fd, size - len(data))
            if not part:
                raise StreamEndedError
            data += part
        return bytes(data)

    @contextmanager
    def _unless_cut(self) -> Iterator[None]:
        """An error that is an abort's doing is none of the stream's."""
        try:
            yield
        except OSError:
            self.check()
            raise

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
        for amount in chunks(size):
            data = os.read(fd, amount)
            if len(data) != amount:
                raise OSError(errno.EIO, f"{path} shrank while it was read")
            stream.write(data)
        stream.write(bytes(padding(length)))


def write_checkpoint_end(stream: Stream) -> None:
    """Write what ends a checkpoint: more of the libxc stream follows."""
    stream.write(pack_libxl_record(LibxlRecord.CHECKPOINT_END))


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
    with protocol_errors():
        unpack_libxl_header(header)
        context = stream.read(RECORD_HEADER_SIZE)
        record = unpack_libxl_record(context)
    if record.type != LibxlRecord.LIBXC_CONTEXT:
        raise OSError(errno.EPROTO, "the first record is no LIBXC_CONTEXT")
    return header + context


# --------------------------------------------------------------------------------------
# Both
# --------------------------------------------------------------------------------------


@contextmanager
def protocol_errors() -> Iterator[None]:
    """What is no such stream is EPROTO."""
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


def chunks(size: int) -> Iterator[int]:
    """Return the amounts to take of so many bytes, one after the other."""
    while size > 0:
        yield min(size, CHUNK)
        size -= CHUNK
