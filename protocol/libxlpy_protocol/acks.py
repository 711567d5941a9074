"""What a backup says to the primary of each epoch that it holds.

::

    acknowledgement (big-endian):  8 bytes "xlpyheld"  u64 epoch

An epoch is held once its memory, its device model and its end have come: from then on
the backup can go on from there, whatever becomes of the primary.
"""

from __future__ import annotations

import struct

from libxlpy_protocol.errors import StreamFormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["ACK_SIZE", "pack_ack", "unpack_ack"]

_ACK: Final = struct.Struct(">8sQ")
_MAGIC: Final = b"xlpyheld"
#: Bytes of an acknowledgement.
ACK_SIZE: Final = _ACK.size


def pack_ack(epoch: int) -> bytes:
    """Return the acknowledgement of an epoch, from 1 on."""
    return _ACK.pack(_MAGIC, epoch)


def unpack_ack(data: bytes) -> int:
    """Return the epoch that is acknowledged.

    Raises:
        StreamFormatError: It is no acknowledgement.
    """
    if len(data) != ACK_SIZE or not data.startswith(_MAGIC):
        raise StreamFormatError(f"no acknowledgement: {data[:ACK_SIZE].hex(' ')}")
    _, epoch = _ACK.unpack(data)
    return int(epoch)
