"""The xenstore wire protocol: packets and their bytes, for clients and servers.

A packet is a header of four native u32 (type, request id, transaction id, payload
length) and at most 4096 bytes of payload. Strings in a payload end with NUL each.

Xen: xen/include/public/io/xs_wire.h.
"""

from __future__ import annotations

import enum
import errno
import struct

from libxlpy_protocol.errors import XenstoreWireError
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

__all__ = [
    "ABS_PATH_MAX",
    "ERRNO_OF",
    "HEADER",
    "NAME_OF",
    "PAYLOAD_MAX",
    "REL_PATH_MAX",
    "Packet",
    "PacketBuffer",
    "XsType",
    "encode",
    "errno_of",
    "join",
    "name_of",
    "split",
]

HEADER: Final = struct.Struct("<IIII")
PAYLOAD_MAX: Final = 4096  # bytes
ABS_PATH_MAX: Final = 3072  # bytes, without the NUL
REL_PATH_MAX: Final = 2048  # bytes, without the NUL

_U32_MAX: Final = (1 << 32) - 1

#: errno of each error name that a xenstore may send; Xen: ``xsd_errors``.
ERRNO_OF: Final[dict[str, int]] = {
    name: getattr(errno, name)
    for name in (
        "EINVAL",
        "EACCES",
        "EEXIST",
        "EISDIR",
        "ENOENT",
        "ENOMEM",
        "ENOSPC",
        "EIO",
        "ENOTEMPTY",
        "ENOSYS",
        "EROFS",
        "EBUSY",
        "EAGAIN",
        "EISCONN",
        "E2BIG",
        "EPERM",
    )
}

#: Error name of each errno that has one.
NAME_OF: Final[dict[int, str]] = {number: name for name, number in ERRNO_OF.items()}


class XsType(enum.IntEnum):
    """Type of a packet; 20 was never used."""

    CONTROL = 0
    DIRECTORY = 1
    READ = 2
    GET_PERMS = 3
    WATCH = 4
    UNWATCH = 5
    TRANSACTION_START = 6
    TRANSACTION_END = 7
    INTRODUCE = 8
    RELEASE = 9
    GET_DOMAIN_PATH = 10
    WRITE = 11
    MKDIR = 12
    RM = 13
    SET_PERMS = 14
    WATCH_EVENT = 15
    ERROR = 16
    IS_DOMAIN_INTRODUCED = 17
    RESUME = 18
    SET_TARGET = 19
    RESET_WATCHES = 21
    DIRECTORY_PART = 22


_KNOWN: Final[dict[int, int]] = {int(kind): kind for kind in XsType}


class Packet(Value):
    """One packet.

    Attributes:
        type: An ``XsType``, or the bare number when it is none of them, so that a
            server can answer with an error.
        req_id: Chosen by the client, repeated in the reply.
        tx_id: Transaction, 0 for none.
        payload: At most ``PAYLOAD_MAX`` bytes.
    """

    type: int
    req_id: int
    tx_id: int
    payload: bytes


def encode(packet: Packet) -> bytes:
    """Return the bytes of a packet.

    Raises:
        XenstoreWireError: The payload is too long, or a number is no u32.
    """
    size = len(packet.payload)
    if size > PAYLOAD_MAX:
        raise XenstoreWireError(f"payload of {size} bytes, more than {PAYLOAD_MAX}")
    numbers = (packet.type, packet.req_id, packet.tx_id)
    if not all(0 <= number <= _U32_MAX for number in numbers):
        raise XenstoreWireError(f"header numbers {numbers} are no u32")
    return HEADER.pack(*numbers, size) + packet.payload


class PacketBuffer:
    """Cut a byte stream into packets."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._error = ""

    @property
    def partial(self) -> bool:
        """Whether a packet has begun and is not complete."""
        return bool(self._data)

    def feed(self, data: bytes) -> None:
        """Take bytes as they were read."""
        if not self._error:
            self._data += data

    def next_packet(self) -> Packet | None:
        """Return the next packet; None when more bytes are needed.

        Raises:
            XenstoreWireError: A payload is too long, now or before.
        """
        if self._error:
            raise XenstoreWireError(self._error)
        if len(self._data) < HEADER.size:
            return None
        header: tuple[int, int, int, int] = HEADER.unpack_from(self._data)
        number, req_id, tx_id, size = header
        if size > PAYLOAD_MAX:
            self._error = f"payload of {size} bytes, more than {PAYLOAD_MAX}"
            self._data.clear()
            raise XenstoreWireError(self._error)
        end = HEADER.size + size
        if len(self._data) < end:
            return None
        payload = bytes(memoryview(self._data)[HEADER.size : end])
        del self._data[:end]
        return Packet(_KNOWN.get(number, number), req_id, tx_id, payload)


def join(strings: Iterable[bytes]) -> bytes:
    """Return a payload of NUL-ended strings."""
    return b"".join(string + b"\0" for string in strings)


def split(payload: bytes) -> list[bytes]:
    """Return the strings of a payload; a last one without NUL counts too."""
    strings = payload.split(b"\0")
    return strings[:-1] if strings[-1] == b"" else strings


def errno_of(name: str) -> int:
    """Return the errno of an error name; EINVAL for an unknown one, as Xen does."""
    return ERRNO_OF.get(name, errno.EINVAL)


def name_of(number: int) -> str:
    """Return the error name of an errno; "EINVAL" for one that has none."""
    return NAME_OF.get(number, "EINVAL")
