"""libxl's own records behind a libxc stream: libxl takes the end of a stream for END.

So it is not left to libxl to find out whether a stream has one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import struct
import termios
import time

from libxlpy_helper.stream import CHUNK, Stream
from libxlpy_protocol.errors import StreamFormatError
from libxlpy_protocol.stream.libxc import LIBXC_DOMAIN_SIZE, LIBXC_IMAGE_SIZE
from libxlpy_protocol.stream.libxl import (
    REC_LENGTH_MAX,
    RECORD_HEADER_SIZE,
    LibxlRecord,
    RecordHeader,
    padding,
    unpack_record_header,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Bytes of all of them: qemu's state, which is some MiB, and its xenstore nodes.
RECORDS_MAX: Final = REC_LENGTH_MAX + 2 * 1024 * 1024
NO_END: Final = "the stream ends before its END"
LAYERS: Final = 2  # each has records up to an END, which is type 0 in both
LOOK_AGAIN: Final = 0.05  # seconds
ENDS: Final = select.POLLHUP | select.POLLRDHUP | select.POLLERR


def hand_on(stream: Stream, fd: int, last: LibxlRecord = LibxlRecord.END) -> None:
    """Read them up to the last, and put them into a file for libxl to judge.

    Args:
        stream: Where libxc stopped.
        fd: The file; they go behind its offset, which stays.
        last: What they end with.

    Raises:
        OSError: EPROTO: they end before that, or are too long.
        AbortedError: The operation was aborted.
    """
    at = os.lseek(fd, 0, os.SEEK_CUR)
    own_fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.lseek(own_fd, at, os.SEEK_SET)
        _copy(stream, Stream(own_fd, stream.check), last)
    finally:
        os.close(own_fd)


def _copy(stream: Stream, copy: Stream, last: LibxlRecord) -> None:
    left = RECORDS_MAX
    record = RecordHeader(LibxlRecord.LIBXC_CONTEXT, 0)
    while record.type != last:
        header = stream.read(RECORD_HEADER_SIZE)
        record = _unpacked(header)
        size = record.length + padding(record.length)
        left -= RECORD_HEADER_SIZE + size
        if left < 0:
            raise OSError(errno.EPROTO, f"libxl's records exceed {RECORDS_MAX} bytes")
        copy.write(header)
        while size:
            data = stream.read(min(size, CHUNK))
            copy.write(data)
            size -= len(data)


def _unpacked(header: bytes) -> RecordHeader:
    try:
        return unpack_record_header(header)
    except StreamFormatError as exc:
        raise OSError(errno.EPROTO, str(exc)) from exc


def check_file(stream: Stream) -> None:
    """See that a file or device has their END, before anything is read of it.

    Args:
        stream: Where libxc is to begin; its offset stays. A pipe is not looked at.

    Raises:
        OSError: EPROTO: it has not.
        AbortedError: The operation was aborted.
    """
    mode = os.fstat(stream.fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        return
    at = os.lseek(stream.fd, 0, os.SEEK_CUR) + LIBXC_IMAGE_SIZE + LIBXC_DOMAIN_SIZE
    layers = LAYERS
    while layers:
        stream.check()
        header = os.pread(stream.fd, RECORD_HEADER_SIZE, at)
        if len(header) < RECORD_HEADER_SIZE:
            raise OSError(errno.EPROTO, NO_END)
        record = _unpacked(header)
        at += RECORD_HEADER_SIZE + record.length + padding(record.length)
        layers -= record.type == LibxlRecord.END


def check_pipe(stream: Stream) -> None:
    """See that behind libxc's part of a pipe or socket there is at least one of them.

    It is END, unless the guest has a device model. What is behind that can't be seen
    without taking it from libxl.

    Raises:
        OSError: EPROTO: the writer has ended, and there is none.
        AbortedError: The operation was aborted.
    """
    mode = os.fstat(stream.fd).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    poll = select.poll()
    poll.register(stream.fd, select.POLLRDHUP)
    while True:
        stream.check()
        ended = any(events & ENDS for _, events in poll.poll(0))
        if _waiting(stream.fd) >= RECORD_HEADER_SIZE:
            return
        if ended:
            raise OSError(errno.EPROTO, NO_END)
        time.sleep(LOOK_AGAIN)


def _waiting(fd: int) -> int:
    """Return how many bytes can be read at once."""
    found = fcntl.ioctl(fd, termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", found)[0])
